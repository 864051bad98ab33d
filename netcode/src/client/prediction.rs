//! Prediction of the client's own entity, and its reconciliation with the server.
//!
//! Each command is run at once through the step that the server will run. When the server's state for a tick
//! comes, it is compared on the grid with what was predicted for that tick; if anything differs, the state is
//! taken over and the later commands run again from there.

use std::collections::VecDeque;

use crate::command::Command;
use crate::limits::PREDICTION_TICKS;
use crate::replication::snapshot::Feedback;
use crate::schema::{KindId, KindInfo};
use crate::tick::Tick;

/// What a game gives a client for prediction.
pub trait Predict {
    /// Its commands.
    type Command: Command;

    /// The session began: the server runs so many ticks per second.
    fn welcomed(&mut self, tick_rate: u32);

    /// The shared step: the own entity's state after one tick under `command`, on the grid. Reads and writes
    /// predicted fields only.
    fn predict(&self, kind: KindId, fields: &mut [u32], command: &Self::Command);

    /// A number that the server changes whenever anything but the client's commands touched its predicted
    /// state.
    fn interactions(&self, fields: &[u32]) -> u32;

    /// Distance between two states in metres.
    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32;
}

/// Why a prediction was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The server lacked a command in time and repeated the last.
    Command,
    /// Another entity touched the own one.
    Interaction,
    /// None of these: a defect.
    Unexplained,
}

/// A wrong prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Misprediction {
    /// Tick at which server and prediction differ.
    pub tick: Tick,
    /// By how many metres.
    pub error_m: f32,
    /// Why.
    pub cause: Cause,
}

/// What comparing the server's state with the prediction gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reconciled {
    /// There was no prediction for that tick.
    NothingToCompare,
    /// The prediction began with this state.
    Started,
    /// The prediction was right.
    Right,
    /// It was wrong, and later commands ran again.
    Wrong(Misprediction),
}

#[derive(Debug)]
struct Frame<C> {
    tick: Tick,
    command: C,
    /// State after the command; `None` until the prediction starts.
    state: Option<Box<[u32]>>,
}

/// Predicted states of the own entity.
#[derive(Debug)]
pub struct Prediction<C> {
    frames: VecDeque<Frame<C>>,
    compared: Option<Tick>,
    /// The server's counts as told last.
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
            compared: None,
            missing: 0,
            interactions: 0,
            lacked: false,
            touched: false,
        }
    }
}

impl<C: Command> Prediction<C> {
    /// The newest predicted state and its tick.
    pub fn state(&self) -> Option<(Tick, &[u32])> {
        let frame = self.frames.back()?;
        Some((frame.tick, frame.state.as_deref()?))
    }

    /// Runs the command of `tick`; a gap to the one before ends the prediction until the server's next state.
    pub fn advance<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        kind: Option<KindId>,
        tick: Tick,
        command: C,
    ) {
        if self.frames.back().is_some_and(|frame| frame.tick.next() != tick) {
            self.frames.clear();
        }
        let before = self.frames.back().and_then(|frame| frame.state.clone());
        let state = before.zip(kind).map(|(mut state, kind)| {
            game.predict(kind, &mut state, &command);
            state
        });
        self.frames.push_back(Frame { tick, command, state });
        if self.frames.len() > PREDICTION_TICKS {
            self.frames.pop_front();
        }
    }

    /// Compares with the server's state at `tick`. Prediction starts at a tick whose command the server had: from
    /// there on it counts each that it lacks.
    pub fn reconcile<P: Predict<Command = C>>(
        &mut self,
        game: &P,
        (kind, info): (KindId, &KindInfo),
        (tick, server): (Tick, &[u32]),
        feedback: &Feedback,
    ) -> Reconciled {
        if self.compared.is_some_and(|compared| !tick.is_after(compared)) {
            return Reconciled::NothingToCompare;
        }
        self.compared = Some(tick);
        self.lacked |= std::mem::replace(&mut self.missing, feedback.missing) != feedback.missing;
        let interactions = game.interactions(server);
        self.touched |= std::mem::replace(&mut self.interactions, interactions) != interactions;
        while self.frames.front().is_some_and(|frame| tick.is_after(frame.tick)) {
            self.frames.pop_front();
        }
        let Some(frame) = self.frames.front_mut().filter(|frame| frame.tick == tick) else {
            return Reconciled::NothingToCompare;
        };
        if frame.state.is_none() && feedback.margin.is_none() {
            return Reconciled::NothingToCompare;
        }
        let (lacked, touched) = (std::mem::take(&mut self.lacked), std::mem::take(&mut self.touched));
        let Some(predicted) = frame.state.replace(server.into()) else {
            self.replay(game, kind, server);
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
        self.replay(game, kind, server);
        Reconciled::Wrong(Misprediction { tick, error_m, cause })
    }

    /// Runs the commands after the first frame again from `state`.
    fn replay<P: Predict<Command = C>>(&mut self, game: &P, kind: KindId, state: &[u32]) {
        let mut state: Box<[u32]> = state.into();
        for frame in self.frames.iter_mut().skip(1) {
            game.predict(kind, &mut state, &frame.command);
            frame.state = Some(state.clone());
        }
    }
}

fn same(info: &KindInfo, a: &[u32], b: &[u32]) -> bool {
    info.fields.iter().zip(a.iter().zip(b)).all(|(field, (a, b))| !field.predicted || a == b)
}
