//! Handles the requests of clients.

use std::collections::BTreeSet;

use truetick_auction::limits::{CATALOGUE, QUESTIONS, WATCHED};
use truetick_auction::order::{Command, CommandId};
use truetick_auction::terms::LotId;
use truetick_auction::wire::{HouseState, LOTS, Refusal, Reply, Request};
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::time::Timestamp;

use super::AuctionRoom;
use super::output::ClientReply;
use crate::auction::participant::Participant;
use crate::auction::sequencer::Submission;

/// Number of watchers of its lot for which a bid counts as one more command.
const WATCHERS_A_WEIGHT: usize = 250;

impl AuctionRoom {
    pub(super) fn take_request(&mut self, client: ClientId, request: Request, arrived: Timestamp) {
        match request {
            Request::Command { id, command } => self.take_command(client, id, command, arrived),
            Request::Watch { lot, after } => self.watch(client, lot, after),
            Request::Unwatch { lot } => {
                self.unwatch(client, lot);
                if let Some(participant) = self.participants.get_mut(client) {
                    participant.watching.remove(&lot);
                }
            }
            Request::Catalogue { after } => {
                let mut lots: Vec<_> = self
                    .public_book
                    .lots_after(after)
                    .take(CATALOGUE + 1)
                    .collect();
                let more = lots.len() > CATALOGUE;
                lots.truncate(CATALOGUE);
                self.say(client, LOTS, &Reply::Catalogue { lots, more });
            }
            Request::Account => {
                if let Some(participant) = self
                    .participants
                    .get_mut(client)
                    .filter(|participant| !participant.asked_account)
                {
                    participant.asked_account = true;
                    if !self.queries.contains(&client) {
                        self.queries.push(client);
                    }
                }
            }
            Request::Time { client_us } => {
                let may_ask =
                    |participant: &&mut Participant| participant.asked_time.len() < QUESTIONS;
                if let Some(participant) = self.participants.get_mut(client).filter(may_ask) {
                    participant.asked_time.push((client_us, arrived));
                }
            }
        }
    }

    fn take_command(
        &mut self,
        client: ClientId,
        id: CommandId,
        command: Command,
        arrived: Timestamp,
    ) {
        let lot = match &command {
            Command::Bid(bid) => Some(bid.lot),
            Command::Admin(_) => None,
        };
        let weight = self.weight(lot);
        let at_ms = self.ms(arrived);
        let stalled = self.is_busy(arrived);
        let Some(user) = self
            .participants
            .get(client)
            .map(|participant| participant.user)
        else {
            return;
        };
        let full = self.is_full(user) && !self.house.knows(user, id);
        let Some(participant) = self.participants.get_mut(client) else {
            return;
        };
        // A command that its user may not give is refused before it reaches the journal.
        let may_say = lot.is_some() || self.house.rules().admins.contains(&participant.user);
        let why = match self.state {
            HouseState::Stopped => Some(Refusal::Stopped),
            _ if stalled || full => Some(Refusal::Busy),
            _ if !may_say => Some(Refusal::NotAllowed),
            _ if !participant
                .meter
                .allows_worth(weight, self.config.rate, arrived) =>
            {
                Some(Refusal::TooFast)
            }
            _ => match self.sequencer.enqueue(
                Submission {
                    client,
                    user: participant.user,
                    id,
                    command,
                },
                at_ms,
                participant.last_ms,
            ) {
                Some(ms) => {
                    participant.last_ms = ms;
                    None
                }
                None => Some(Refusal::Busy),
            },
        };
        if let Some(why) = why {
            self.refuse(client, id, why);
        }
    }

    /// Weight of a command on a lot, by the number of the lot's watchers.
    fn weight(&self, lot: Option<LotId>) -> u32 {
        let watched = lot
            .and_then(|lot| self.watchers.get(&lot))
            .map_or(0, BTreeSet::len);
        1 + (watched / WATCHERS_A_WEIGHT) as u32
    }

    /// Whether no more receipts fit. The last ones are reserved for the administrators.
    fn is_full(&self, user: UserId) -> bool {
        let most = self.config.receipts;
        let runs = self.house.rules().admins.contains(&user);
        let kept = self.house.ledger().kept() + self.sequencer.waiting() as u64;
        kept >= if runs { most } else { most - most / 16 }
    }

    fn watch(&mut self, client: ClientId, lot: LotId, after: Option<u64>) {
        let Some(participant) = self.participants.get_mut(client) else {
            return;
        };
        let full =
            participant.watching.len() == WATCHED && !participant.watching.contains_key(&lot);
        if full || self.public_book.lot(lot).is_none() {
            return self.say(client, LOTS, &Reply::NoLot(lot));
        }
        participant.watching.insert(lot, after);
        participant.due.insert(lot);
        self.watchers.entry(lot).or_default().insert(client);
    }

    pub(super) fn unwatch(&mut self, client: ClientId, lot: LotId) {
        if let Some(watchers) = self.watchers.get_mut(&lot) {
            watchers.remove(&client);
            if watchers.is_empty() {
                self.watchers.remove(&lot);
            }
        }
    }

    /// The reply to a client that has asked for its account.
    pub(super) fn account(&mut self, client: ClientId) -> Option<ClientReply> {
        let participant = self.participants.get_mut(client)?;
        participant.asked_account = false;
        let ledger = self.house.ledger();
        let account = ledger
            .find(participant.user)
            .map(|index| ledger.account(index));
        let [available, held, paid] = account.map_or_else(Default::default, |account| {
            [account.available, account.held, account.paid]
        });
        let reply = Reply::Account {
            available,
            held,
            paid,
        };
        Some(ClientReply { client, reply })
    }
}
