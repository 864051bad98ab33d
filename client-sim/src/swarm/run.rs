//! The thread that runs all bots of a swarm in rounds.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use truetick_arena::ArenaSchema;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::time::Timestamp;
use truetick_transport::clock;

use super::member::{Member, token};
use super::record::{Capture, Trace};
use crate::bot_client::BotClient;
use crate::client_socket;
use crate::measure::ClientFigures;
use crate::play::PlayFigures;
use crate::token_source::TokenSource;

/// Least time between two rounds over all bots: the kernel stamps arrivals, so a later round costs
/// nothing.
const ROUND: Duration = Duration::from_micros(500);

/// State of the thread that runs the bots.
pub(super) struct Run {
    pub(super) members: Vec<Member>,
    pub(super) tokens: TokenSource,
    pub(super) kinds: Arc<ArenaSchema>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) rejoin: Arc<AtomicBool>,
    pub(super) shared: Arc<Mutex<ClientFigures>>,
    pub(super) figures: ClientFigures,
    pub(super) trace: Option<Trace>,
    pub(super) capture: Option<Capture>,
}

impl Run {
    /// Runs the bots until the swarm stops; then they leave, and the files are closed.
    ///
    /// # Errors
    /// A socket or a file failed.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut publish_at = clock::now();
        let mut ready = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            let next = self
                .members
                .iter()
                .map(Member::next_timeout)
                .min()
                .unwrap_or(publish_at);
            let span = next.min(publish_at).since(now);
            client_socket::wait(
                self.members.iter().map(|member| &member.socket),
                span,
                &mut ready,
            )?;
            self.receive(&ready)?;
            self.advance();
            self.take_events();
            if self.rejoin.swap(false, Ordering::Relaxed) {
                self.figures.forget_times();
            }
            if let Some((trace, first)) = self.trace.as_mut().zip(self.members.first()) {
                trace.note(&first.bot);
            }
            if clock::now() >= publish_at {
                self.publish();
                self.trace.as_mut().map_or(Ok(()), Trace::keep)?;
                self.capture.as_mut().map_or(Ok(()), Capture::keep)?;
                publish_at = clock::now() + Duration::from_millis(500);
            }
            clock::sleep_until(now + ROUND);
        }
        self.publish();
        self.leave();
        if let Some(trace) = self.trace.take() {
            trace.finish()?;
        }
        if let Some(capture) = self.capture.take() {
            capture.finish()?;
        }
        Ok(())
    }

    fn receive(&mut self, ready: &[usize]) -> io::Result<()> {
        for place in ready {
            let Member { bot, socket, .. } = &mut self.members[*place];
            let now = clock::now();
            socket.receive(now, |from, event, at| {
                bot.receive(from, event, at);
                let payload = bot.runtime().payload();
                if let Some(capture) = self.capture.as_mut().filter(|_| !payload.is_empty()) {
                    capture.writer.packet(*place as u32, now, payload);
                }
            })?;
        }
        Ok(())
    }

    fn advance(&mut self) {
        for (place, member) in self.members.iter_mut().enumerate() {
            let now = clock::now();
            if let Some(end) = member.newly_ended() {
                self.figures.lost +=
                    usize::from(is_loss(end) && member.bot.runtime().id().is_some());
                member.rejoin_at = Some(now + member.pauses.pause());
            }
            if now < member.next_timeout() {
                continue;
            }
            if member.rejoin_at.take_if(|at| *at <= now).is_some() {
                let role = member.bot.runtime().role();
                let token = token(&mut self.tokens, member.user, role);
                self.figures.past = self.figures.past + member.bot.runtime().stats();
                let over = member.bot.runtime().addr().kind;
                // Each session has another seed: numbers of connections must not repeat.
                member.seed = member.seed.wrapping_add(1 << 40);
                let bot = BotClient::new(self.kinds.clone(), token, member.seed, now);
                member.bot = bot.as_role(role).transport(over);
                member.here_since = None;
                if let Some(capture) = &mut self.capture {
                    capture.writer.session(place as u32, now);
                }
            }
            member.bot.advance(now);
            if member.bot.runtime().state() == ClientState::Playing {
                member.here_since.get_or_insert(now);
            }
            member.transmit();
        }
    }

    fn take_events(&mut self) {
        for member in &mut self.members {
            while let Some(event) = member.bot.poll_event() {
                self.figures.event(&event);
            }
        }
    }

    fn publish(&mut self) {
        let playing = |member: &&Member| {
            matches!(
                member.bot.runtime().state(),
                ClientState::Playing | ClientState::Unheard | ClientState::Silent
            )
        };
        self.figures.joined = self.members.iter().filter(playing).count();
        self.figures.play = self.play(clock::now());
        self.figures.cpu = clock::thread_cpu();
        self.figures
            .count(self.members.iter().map(|member| &member.bot));
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.figures.clone();
    }

    fn play(&self, now: Timestamp) -> PlayFigures {
        let mut figures = PlayFigures::default();
        for Member {
            bot, here_since, ..
        } in &self.members
        {
            let runtime = bot.runtime();
            if let Some((since, tick_rate)) = here_since.zip(runtime.tick_rate()) {
                figures.add(
                    runtime.role(),
                    &runtime.stats(),
                    tick_rate,
                    now.since(since),
                );
            }
        }
        figures
    }

    fn leave(&mut self) {
        for member in &mut self.members {
            member.bot.leave();
            member.transmit();
        }
    }
}

/// Whether a session was lost: neither the client nor the server ended it on purpose.
fn is_loss(end: End) -> bool {
    !matches!(
        end,
        End::Disconnected(
            DisconnectReason::Left | DisconnectReason::Moved | DisconnectReason::Closed
        )
    )
}
