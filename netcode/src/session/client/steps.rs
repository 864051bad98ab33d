//! The steps of a client's session: which packet is due, and when a step is given up.

use std::time::Duration;

use super::super::packet::{self, Kind};
use super::super::secured;
use super::super::token::ConnectToken;
use super::{Failure, Phase, SessionClient};
use crate::limits::{CONNECT_TIME, KEEP_ALIVE, RESPONSE_INTERVAL};
use crate::time::Timestamp;
use crate::transport::Transmit;

/// One in this many responses is replaced by a request.
const RESPONSES_PER_REQUEST: u32 = 10;

impl SessionClient {
    /// Returns when [`Self::poll`] must be called next; the largest time once the session is over.
    pub fn next_timeout(&self) -> Timestamp {
        let silent = self
            .timeout()
            .map_or(Timestamp::from_nanos(u64::MAX), |most| {
                self.silent_since() + most
            });
        match self.phase {
            Phase::Requesting | Phase::Responding => self
                .next_send
                .min(silent)
                .min(self.began + self.token_lifetime()),
            Phase::Connected { .. } => (self.sent_at + KEEP_ALIVE).min(silent),
            Phase::Failed(_) | Phase::Disconnected => Timestamp::from_nanos(u64::MAX),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        u64::try_from(self.token.timeout_s)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token.expires - self.token.created)
    }

    fn silent_since(&self) -> Timestamp {
        if self.is_connected() {
            self.heard_at
        } else {
            self.step_began
        }
    }

    /// Returns the next packet that is due at `now`.
    pub fn poll(&mut self, now: Timestamp) -> Option<Transmit> {
        self.give_up(now);
        match self.phase {
            Phase::Requesting if now >= self.next_send && self.kind.is_connection_oriented() => {
                if self.sends > 0 {
                    self.leave_connection();
                }
                self.note_step_sent(now, CONNECT_TIME);
                Some(Transmit::Open(secured::write_join(
                    &self.request(),
                    &self.token.client_key,
                )))
            }
            Phase::Requesting if now >= self.next_send => {
                let pause = self.pauses.pause();
                self.note_step_sent(now, pause);
                Some(Transmit::Datagram(self.request()))
            }
            Phase::Responding if now >= self.next_send => {
                self.note_step_sent(now, RESPONSE_INTERVAL);
                // The server may have forgotten the attempt, or may have another address for it, so
                // one in [`RESPONSES_PER_REQUEST`] packets is a request.
                if self.sends.is_multiple_of(RESPONSES_PER_REQUEST) {
                    return Some(Transmit::Datagram(self.request()));
                }
                let challenge = self.challenge.as_deref()?;
                self.keys
                    .seal_response(self.token.protocol, challenge)
                    .map(Transmit::Datagram)
            }
            Phase::Connected { index, most } if now.since(self.sent_at) >= KEEP_ALIVE => {
                self.sent_at = now;
                let contents = [index.to_le_bytes(), most.to_le_bytes()].concat();
                Some(self.seal_packet(Kind::KeepAlive, &contents))
            }
            _ => None,
        }
    }

    fn request(&self) -> Vec<u8> {
        let ConnectToken {
            protocol,
            expires,
            nonce,
            sealed,
            ..
        } = &self.token;
        packet::write_request(*protocol, *expires, nonce, sealed)
    }

    fn note_step_sent(&mut self, now: Timestamp, pause: Duration) {
        if self.sends == 0 {
            self.sent_at = now;
        }
        self.sends += 1;
        self.next_send = now + pause;
    }

    /// Continues with the next server, or fails, if time is up.
    fn give_up(&mut self, now: Timestamp) {
        let silent = self
            .timeout()
            .is_some_and(|most| now.since(self.silent_since()) >= most);
        let failure = match self.phase {
            Phase::Failed(_) | Phase::Disconnected => return,
            Phase::Connected { .. } if silent => {
                return self.phase = Phase::Failed(Failure::TimedOut);
            }
            Phase::Connected { .. } => return,
            _ if now.since(self.began) >= self.token_lifetime() => {
                return self.phase = Phase::Failed(Failure::TokenExpired);
            }
            Phase::Requesting => Failure::RequestTimedOut,
            Phase::Responding => Failure::ResponseTimedOut,
        };
        if silent {
            self.try_next(failure, now);
        }
    }

    pub(super) fn try_next(&mut self, failure: Failure, now: Timestamp) {
        self.phase = match self.server + 1 < self.token.servers.len() {
            true => Phase::Requesting,
            false => Phase::Failed(failure),
        };
        if self.phase == Phase::Requesting {
            self.server += 1;
            self.leave_connection();
            self.begin_step(now);
        }
    }

    pub(super) fn begin_step(&mut self, now: Timestamp) {
        self.step_began = now;
        self.next_send = now;
        self.sends = 0;
        self.pauses.reset();
    }
}
