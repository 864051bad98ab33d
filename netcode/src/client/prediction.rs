//! Prediction of the client's own entity, and its reconciliation with the server.
//!
//! Each command runs at once through the same step as on the server. When the server's state for a
//! slot arrives, it is compared on the grid with the predicted state of that slot. If anything
//! differs, the server's state is adopted and the later commands run again from it.
//!
//! A slot for which the client gave no command is predicted as the server treats it: the last
//! command is repeated for a while, then the neutral one. Slots that the server skipped have no
//! tick: their frames are dropped, and no misprediction is counted. Prediction belongs to one
//! entity; with another it starts again.

use std::collections::VecDeque;

use crate::command::Command;
use crate::limits::{PREDICTED_GAP, PREDICTION_TICKS, REPEAT};
use crate::replication::NetId;
use crate::replication::snapshot::Feedback;
use crate::schema::{KindId, KindInfo};
use crate::tick::Tick;

/// The part of a game that a client needs for prediction.
pub trait Predict {
    /// The game's commands.
    type Command: Command;

    /// Notes that the session began. `tick_rate` is the server's, in ticks per second.
    fn welcomed(&mut self, tick_rate: u32);

    /// The step that client and server share: changes `fields` to the own entity's state after one
    /// tick under `command`, on the grid. It reads and writes predicted fields only.
    fn predict(&self, kind: KindId, fields: &mut [u32], command: &Self::Command);

    /// A number that the server changes whenever something other than the client's commands changes
    /// its predicted state.
    fn interactions(&self, fields: &[u32]) -> u32;

    /// Distance between two states in metres.
    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32;
}

/// Why a prediction was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A command was not in time, and the server repeated the last one.
    Command,
    /// Another entity affected the own one.
    Interaction,
    /// No known cause: a defect.
    Unexplained,
}

/// A wrong prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Misprediction {
    /// Slot after whose command server and prediction differ.
    pub slot: Tick,
    /// Distance between server and prediction in metres.
    pub error_m: f32,
    /// Why the prediction was wrong.
    pub cause: Cause,
}

/// Result of comparing the server's state with the prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reconciled {
    /// There was no prediction for the slot.
    NothingToCompare,
    /// The prediction began with this state, or began again with it after slots that the server
    /// skipped.
    Started,
    /// The prediction was right.
    Right,
    /// The prediction was wrong, and later commands ran again.
    Wrong(Misprediction),
}

/// The entity whose state is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Identity of the entity.
    pub id: NetId,
    /// Kind of the entity.
    pub kind: KindId,
}

/// The server's state of the own entity.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed<'a> {
    /// Slot of the tick after which the entity had this state.
    pub slot: Tick,
    /// Fields of the state, in the order of the kind.
    pub fields: &'a [u32],
    /// The server's feedback on the client's commands.
    pub feedback: &'a Feedback,
}

#[derive(Debug)]
struct Frame<C> {
    slot: Tick,
    command: C,
    /// State after the command; `None` until the prediction starts.
    state: Option<Box<[u32]>>,
}

/// Predicted states of the own entity.
#[derive(Debug)]
pub struct Prediction<C> {
    frames: VecDeque<Frame<C>>,
    own: Option<Own>,
    tick_rate: u32,
    /// The server's last count of skipped slots.
    skipped: u16,
    /// The first slot whose command is known to have reached the server in time.
    heard: Option<Tick>,
    compared: Option<Tick>,
    /// The server's last count of missing commands.
    missing: u8,
    interactions: u32,
    /// What happened since the last comparison: it explains a difference.
    lacked: bool,
    touched: bool,
}

impl<C: Command> Default for Prediction<C> {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            own: None,
            tick_rate: 60,
            skipped: 0,
            heard: None,
            compared: None,
            missing: 0,
            interactions: 0,
            lacked: false,
            touched: false,
        }
    }
}

impl<C: Command> Prediction<C> {
    /// Drops all states and starts again; `tick_rate` is the server's, in ticks per second.
    pub fn restart(&mut self, tick_rate: u32) {
        *self = Self {
            tick_rate,
            ..Self::default()
        };
    }

    /// Whether a command is known to have reached the server in time.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// The entity whose state is predicted.
    pub fn own(&self) -> Option<Own> {
        self.own
    }

    /// The slot of the newest command, and the predicted state after it.
    pub fn state(&self) -> Option<(Tick, &[u32])> {
        let frame = self.frames.back()?;
        Some((frame.slot, frame.state.as_deref()?))
    }

    /// The oldest slot whose state is known.
    pub fn oldest(&self) -> Option<Tick> {
        self.frames
            .iter()
            .find(|frame| frame.state.is_some())
            .map(|frame| frame.slot)
    }

    /// The predicted state after a slot's command.
    pub fn at(&self, slot: Tick) -> Option<&[u32]> {
        let place = usize::try_from(slot.distance(self.frames.front()?.slot)).ok()?;
        self.frames.get(place)?.state.as_deref()
    }

    /// Runs the command of `slot`. A gap to the last command is filled as the server fills it.
    /// After a gap longer than [`PREDICTED_GAP`] prediction waits for the server's next state.
    pub fn advance<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        own: Option<Own>,
        slot: Tick,
        command: C,
    ) {
        if own != self.own {
            self.begin(own);
        }
        let slots = |time: std::time::Duration| {
            (time.as_millis() as u64 * u64::from(self.tick_rate) / 1_000) as i32
        };
        let (longest, repeat) = (slots(PREDICTED_GAP), slots(REPEAT));
        if let Some((newest, last)) = self
            .frames
            .back()
            .map(|frame| (frame.slot, frame.command.clone()))
        {
            let gap = slot.distance(newest) - 1;
            if (0..=longest).contains(&gap) {
                for missing in 0..gap {
                    let command = if missing < repeat {
                        last.clone()
                    } else {
                        C::default()
                    };
                    self.run(game, newest + (missing as u32 + 1), command);
                }
            } else {
                self.frames.clear();
            }
        }
        self.run(game, slot, command);
    }

    fn run<P: Predict<Command = C>>(&mut self, game: &P, slot: Tick, command: C) {
        let before = self.frames.back().and_then(|frame| frame.state.clone());
        let state = before.zip(self.own).map(|(mut state, own)| {
            game.predict(own.kind, &mut state, &command);
            state
        });
        self.frames.push_back(Frame {
            slot,
            command,
            state,
        });
        if self.frames.len() > PREDICTION_TICKS {
            self.frames.pop_front();
        }
    }

    /// Drops the predicted states: those of another entity are of no use.
    fn begin(&mut self, own: Option<Own>) {
        self.own = own;
        self.frames.iter_mut().for_each(|frame| frame.state = None);
        (self.lacked, self.touched) = (false, false);
    }

    /// Compares the prediction with the server's state after a slot.
    ///
    /// Prediction starts with the first state: the server had none of the client's commands until
    /// then, and used neutral ones. Until it has had one, it does not count missing commands, so a
    /// different state is adopted and not compared.
    pub fn reconcile<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        own: Own,
        info: &KindInfo,
        confirmed: &Confirmed<'_>,
    ) -> Reconciled {
        let Confirmed {
            slot,
            fields: server,
            feedback,
        } = *confirmed;
        if self
            .compared
            .is_some_and(|compared| !slot.is_after(compared))
        {
            return Reconciled::NothingToCompare;
        }
        self.compared = Some(slot);
        self.note_causes(game, own, confirmed);
        let jumped = std::mem::replace(&mut self.skipped, feedback.skipped) != feedback.skipped;
        self.drop_before(slot);
        if self.heard.is_none() {
            self.heard = feedback.margin.map(|_| slot);
            return self.start(game, own, confirmed);
        }
        let Some(at) = self.frames.iter().position(|frame| frame.slot == slot) else {
            return Reconciled::NothingToCompare;
        };
        if self.frames[at].state.is_none() && feedback.margin.is_none() {
            return Reconciled::NothingToCompare;
        }
        let (lacked, touched) = (
            std::mem::take(&mut self.lacked),
            std::mem::take(&mut self.touched),
        );
        let Some(predicted) = self.frames[at]
            .state
            .replace(server.into())
            .filter(|_| !jumped)
        else {
            self.replay(game, own.kind, at);
            return Reconciled::Started;
        };
        if same(info, &predicted, server) {
            return Reconciled::Right;
        }
        let cause = match (lacked, touched) {
            (true, _) => Cause::Command,
            (false, true) => Cause::Interaction,
            (false, false) => Cause::Unexplained,
        };
        let error_m = game.distance_m(&predicted, server);
        self.replay(game, own.kind, at);
        Reconciled::Wrong(Misprediction {
            slot,
            error_m,
            cause,
        })
    }

    /// Drops the frames before a confirmed one. One frame before it is kept, since the drawn time
    /// lies between two.
    fn drop_before(&mut self, slot: Tick) {
        while self
            .frames
            .get(1)
            .is_some_and(|frame| slot.is_after(frame.slot))
        {
            self.frames.pop_front();
        }
    }

    fn note_causes<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        own: Own,
        confirmed: &Confirmed<'_>,
    ) {
        let interactions = game.interactions(confirmed.fields);
        let touched = std::mem::replace(&mut self.interactions, interactions) != interactions;
        if self.own != Some(own) {
            self.begin(Some(own));
        } else {
            self.touched |= touched;
        }
        let missing = confirmed.feedback.missing;
        self.lacked |= std::mem::replace(&mut self.missing, missing) != missing;
    }

    /// Runs all commands that the server has not had yet, from the server's state.
    fn start<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        own: Own,
        confirmed: &Confirmed<'_>,
    ) -> Reconciled {
        while self
            .frames
            .front()
            .is_some_and(|frame| !frame.slot.is_after(confirmed.slot))
        {
            self.frames.pop_front();
        }
        let gap = self
            .frames
            .front()
            .map_or(0, |first| first.slot.distance(confirmed.slot) - 1);
        for back in (0..gap.min(PREDICTION_TICKS as i32)).rev() {
            let slot = confirmed.slot + (back as u32 + 1);
            self.frames.push_front(Frame {
                slot,
                command: C::default(),
                state: None,
            });
        }
        let (slot, state) = (confirmed.slot, Some(confirmed.fields.into()));
        self.frames.push_front(Frame {
            slot,
            command: C::default(),
            state,
        });
        self.replay(game, own.kind, 0);
        Reconciled::Started
    }

    /// Runs the commands after a frame again, and drops the frames before it.
    fn replay<P: Predict<Command = C>>(&mut self, game: &P, kind: KindId, from: usize) {
        self.frames.drain(..from);
        let Some(mut state) = self.frames.front().and_then(|frame| frame.state.clone()) else {
            return;
        };
        for frame in self.frames.iter_mut().skip(1) {
            game.predict(kind, &mut state, &frame.command);
            frame.state = Some(state.clone());
        }
    }
}

fn same(info: &KindInfo, a: &[u32], b: &[u32]) -> bool {
    info.fields
        .iter()
        .zip(a.iter().zip(b))
        .all(|(field, (a, b))| !field.predicted || a == b)
}

#[cfg(test)]
mod tests;
