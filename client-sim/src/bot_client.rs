//! A bot on the full client runtime: events of the transport in, packets out, time as an argument.

use std::sync::Arc;

use glam::Vec2;
use truetick_arena::schema::player_fields::VITALS;
use truetick_arena::step::ArenaPredict;
use truetick_arena::{ArenaCommand, ArenaSchema};
use truetick_netcode::client::runtime::{ClientEvent, ClientRuntime};
use truetick_netcode::session::Role;
use truetick_netcode::session::token::ConnectToken;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr, Transmit, TransportKind};

use crate::bot::{Bot, BotView};

/// Ticks between two updates of the bot's view: bots react like humans, and an update is expensive.
const LOOK_EVERY: u32 = 6;

/// Index of x among the fields of anything that moves.
const X: usize = 0;
/// Index of y among the fields of anything that moves.
const Y: usize = 1;

/// Index of health among the fields of a player.
const PLAYER_HEALTH: usize = VITALS.start;

/// A bot with its client.
pub struct BotClient {
    runtime: ClientRuntime<ArenaPredict>,
    kinds: Arc<ArenaSchema>,
    bot: Bot,
    view: BotView,
    look_in: u32,
    last: ArenaCommand,
}

impl BotClient {
    /// Creates a bot that starts to use its token now. Its decisions and random numbers follow from
    /// `seed`.
    pub fn new(kinds: Arc<ArenaSchema>, token: ConnectToken, seed: u64, now: Timestamp) -> Self {
        let schema = Arc::new(kinds.schema.clone());
        Self {
            runtime: ClientRuntime::new(ArenaPredict::default(), schema, token, seed, now),
            kinds,
            bot: Bot::new(seed),
            view: BotView::default(),
            look_in: (seed % u64::from(LOOK_EVERY)) as u32,
            last: ArenaCommand::default(),
        }
    }

    /// Selects the transport; UDP by default. Call it before the first transmit.
    pub fn transport(self, kind: TransportKind) -> Self {
        Self {
            runtime: self.runtime.transport(kind),
            ..self
        }
    }

    /// Sets the role; a player by default. It must match the token's role and be set before the
    /// first transmit.
    pub fn as_role(self, role: Role) -> Self {
        Self {
            runtime: self.runtime.as_role(role),
            ..self
        }
    }

    /// The client runtime of the bot.
    pub fn runtime(&self) -> &ClientRuntime<ArenaPredict> {
        &self.runtime
    }

    /// The display time of other entities now; see [`ClientRuntime::shown_tick`].
    pub fn shown_tick(&mut self, now: Timestamp) -> Option<f64> {
        self.runtime.shown_tick(now)
    }

    /// Handles an event of the transport.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        self.runtime.receive(from, event, now);
    }

    /// The next packet to send, with its destination.
    pub fn poll_transmit(&mut self) -> Option<(PeerAddr, Transmit)> {
        self.runtime.poll_transmit()
    }

    /// The next event of the client.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.runtime.poll_event()
    }

    /// When to call [`Self::advance`] next.
    pub fn next_timeout(&self) -> Timestamp {
        self.runtime.next_timeout()
    }

    /// Ends the session.
    pub fn leave(&mut self) {
        self.runtime.leave();
    }

    /// Handles what is due by now, and submits a command for each due tick.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(tick) = self.runtime.poll_tick(now) {
            if self.look_in == 0 {
                self.look(now);
                self.look_in = LOOK_EVERY;
            }
            self.look_in -= 1;
            self.last = self.bot.decide(&self.view);
            self.runtime.submit(tick, self.last, now);
        }
    }

    fn look(&mut self, now: Timestamp) {
        let own = self.runtime.buffer().own().map(|own| own.id);
        let slots: Vec<u16> = self
            .runtime
            .buffer()
            .entities()
            .map(|remote| remote.id.slot)
            .collect();
        self.view.targets.clear();
        for slot in slots {
            let Some((id, kind, values)) = self.runtime.view(slot, now) else {
                continue;
            };
            let place = || Vec2::new(values[X], values[Y]);
            if Some(id) == own {
                self.view.position = place();
                self.view.health = values[PLAYER_HEALTH];
            } else if kind == self.kinds.drone
                || (kind == self.kinds.player && values[PLAYER_HEALTH] > 0.0)
            {
                self.view.targets.push(place());
            }
        }
    }
}
