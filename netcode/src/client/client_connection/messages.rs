//! What a client does with the messages of its server: those of the session are handled here, those
//! of the room become events.

use std::time::Duration;

use rand_xoshiro::rand_core::Rng;

use super::{ClientConnection, LinkEvent};
use crate::bits::BitReader;
use crate::channel::Channel;
use crate::client::state::End;
use crate::client::time_line::{TimeLine, check_epoch};
use crate::connection::Connection;
use crate::disconnect::{DisconnectNotice, DisconnectReason};
use crate::error::WireError;
use crate::limits::{MESSAGE_COST, UNPOLLED_EVENT_BYTES};
use crate::messages::{SESSION_STREAM, ServerMessage, decode};
use crate::session::ClientId;
use crate::session::token::ConnectToken;
use crate::tick::Tick;
use crate::time::Timestamp;

impl ClientConnection {
    /// The next event that messages caused; `None` once the session is over. Messages that concern
    /// only the session are handled here.
    ///
    /// # Errors
    /// A message is malformed or not allowed on its channel.
    pub fn next_event(&mut self, now: Timestamp) -> Result<Option<LinkEvent>, WireError> {
        while self.ended.is_none() {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some((channel, bytes)) = self.connection.as_mut().and_then(Connection::receive)
            else {
                return Ok(None);
            };
            let message = decode(&bytes)?;
            if channel != SESSION_STREAM && !matches!(message, ServerMessage::Event { .. }) {
                return Err(WireError::Misbehaving(
                    "a session's message on another channel",
                ));
            }
            self.take_message(channel, message, now)?;
        }
        Ok(None)
    }

    fn take_message(
        &mut self,
        channel: Channel,
        message: ServerMessage,
        now: Timestamp,
    ) -> Result<(), WireError> {
        match message {
            ServerMessage::Welcome {
                client,
                tick_rate,
                epoch_us,
            } => {
                self.time_line = Some(TimeLine::new(tick_rate, epoch_us)?);
                self.id = Some(ClientId(client));
                self.ready.push_back(LinkEvent::Welcomed { tick_rate });
                self.ready.extend(self.early.drain(..));
                self.early_cost = 0;
            }
            ServerMessage::Timeline { epoch_us } => {
                check_epoch(epoch_us)?;
                if let Some(time_line) = &mut self.time_line {
                    self.ready
                        .push_back(LinkEvent::TimeLineMoved(time_line.move_to(epoch_us)?));
                }
            }
            ServerMessage::Event { tick, data } => {
                let cost = data.len() + MESSAGE_COST;
                let event = match channel {
                    Channel::Unreliable => LinkEvent::Unreliable(Tick(tick), data),
                    Channel::Reliable | Channel::Ordered(_) => LinkEvent::Game(Tick(tick), data),
                };
                match self.id {
                    Some(_) => self.ready.push_back(event),
                    None if self.early_cost + cost <= UNPOLLED_EVENT_BYTES => {
                        self.early_cost += cost;
                        self.early.push(event);
                    }
                    None => self.end(End::Disconnected(DisconnectReason::Overflow)),
                }
            }
            ServerMessage::Ticket { token } => {
                let token = ConnectToken::from_bytes(&token);
                self.resumable
                    .keep_ticket(token.map_err(|_| WireError::Malformed("a ticket is no token"))?);
            }
            ServerMessage::Drain { id, within_ms } => self.told_to_move(id, within_ms, now),
        }
        Ok(())
    }

    /// Schedules the departure that the server ordered. Copies of one order count once.
    fn told_to_move(&mut self, id: u32, within_ms: u32, now: Timestamp) {
        if self.moving.is_none_or(|(known, _)| known != id) {
            let wait = Duration::from_millis(self.rng.next_u64() % (u64::from(within_ms) + 1));
            self.moving = Some((id, now + wait));
        }
    }

    /// Handles the body of a disconnect notice: the session ends with its reason.
    ///
    /// # Errors
    /// The notice is malformed.
    pub fn take_disconnect(&mut self, reader: BitReader<'_>) -> Result<(), WireError> {
        let disconnect = DisconnectNotice::read(reader)?;
        let (server, client) = (disconnect.schema, self.schema);
        self.end(match disconnect.reason {
            DisconnectReason::OtherSchema => End::OtherSchema { server, client },
            reason => End::Disconnected(reason),
        });
        Ok(())
    }
}
