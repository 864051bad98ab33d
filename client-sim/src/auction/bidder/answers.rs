//! The record of what the house sent: answers, lot events and lots.

use truetick_auction::client::AuctionEvent;
use truetick_auction::event::{LotEvent, LotEventKind};
use truetick_auction::order::{Admin, Answer, BidStanding, Command, CommandId, Outcome, Receipt};
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{Event, PeerAddr};

use super::Bidder;

impl Bidder {
    /// Handles an event of the transport.
    pub fn receive<'a>(
        &mut self,
        from: impl Into<PeerAddr>,
        event: impl Into<Event<'a>>,
        now: Timestamp,
    ) {
        self.client.receive(from, event, now);
        while let Some(event) = self.client.poll_event() {
            self.take(event, now);
        }
    }

    fn take(&mut self, event: AuctionEvent, now: Timestamp) {
        match event {
            AuctionEvent::Answered(id, Answer::Receipt(receipt)) => self.answered(id, receipt, now),
            AuctionEvent::Answered(id, Answer::Conflict) => {
                self.figures.wrong.push(format!(
                    "{:?}: {id:?} is said to be another's name",
                    self.user
                ));
            }
            AuctionEvent::Refused(id, _) => {
                self.figures.refused += 1;
                self.said.remove(&id);
                self.refused.insert(id);
            }
            AuctionEvent::Happened(event) => {
                self.figures.events += 1;
                self.sightings
                    .entry(event.lot)
                    .or_default()
                    .push((event.sequence, now));
                self.note_close(&event);
                self.seen
                    .iter_mut()
                    .for_each(|seen| seen.push(event.clone()));
            }
            AuctionEvent::Shown(lot) => {
                self.figures.shown += 1;
                if let Some(known) = self.client.lot(lot) {
                    self.sightings
                        .entry(lot)
                        .or_default()
                        .push((known.sequence, now));
                }
            }
            AuctionEvent::Gone(lot) => {
                self.lots.retain(|known| *known != lot);
                self.gone.insert(lot);
            }
            AuctionEvent::Catalogue(lots) => {
                for lot in lots {
                    if !self.lots.contains(&lot) {
                        self.lots.push(lot);
                        self.client.watch(lot);
                    }
                }
            }
            AuctionEvent::Account(_) | AuctionEvent::House(_) => {}
        }
    }

    fn note_close(&mut self, event: &LotEvent) {
        let closes = match event.what {
            LotEventKind::Opened { closes, .. } | LotEventKind::Resumed { closes, .. } => {
                self.closes.insert(event.lot, closes);
                return;
            }
            LotEventKind::Bid { closes, .. } => closes,
            _ => return,
        };
        if self
            .closes
            .insert(event.lot, closes)
            .is_some_and(|before| before != closes)
        {
            self.extended.insert(event.lot);
        }
    }

    fn answered(&mut self, id: CommandId, receipt: Receipt, now: Timestamp) {
        if let Some(before) = self.receipts.insert(id, receipt) {
            if before != receipt {
                self.figures.wrong.push(format!(
                    "{:?}: {id:?} got {before:?} and then {receipt:?}",
                    self.user
                ));
            }
            return;
        }
        let Some((command, first)) = self.said.get(&id) else {
            return;
        };
        self.figures.answer.add(now.since(*first));
        match receipt.outcome {
            Outcome::Rejected(_) => self.figures.rejected += 1,
            Outcome::Accepted { stands, alias } => {
                self.figures.accepted += 1;
                match command {
                    Command::Bid(bid) => {
                        self.aliases.insert(bid.lot, alias);
                        if stands != BidStanding::Sealed {
                            self.bids.push((bid.lot, receipt.tick, *first));
                        }
                    }
                    Command::Admin(Admin::Deposit { user, .. }) => drop(self.funded.insert(*user)),
                    _ => {}
                }
            }
        }
    }
}
