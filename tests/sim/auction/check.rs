//! Invariants at the end of a run, checked against the clients' messages and the journal alone.

use truetick_auction::event::LotEvent;
use truetick_auction::public_lot::PublicLot;
use truetick_client_sim::auction::bidder::Bidder;
use truetick_server::auction::audit::Audit;
use truetick_server::journal::open::read_all;

use super::world::AuctionWorld;

/// Ticks for which an event may still be in flight at the end.
const UNDERWAY: u64 = 60;

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuctionFigures {
    /// Answers that bidders received.
    pub answered: u64,
    /// Events that bidders received.
    pub seen: u64,
    /// Number of server starts.
    pub openings: u32,
    /// Number of lots that ended.
    pub ended: u64,
    /// Numbers of torn and of lost sectors.
    pub damage: (u64, u64),
    /// Hash of the house at the end.
    pub hash: u64,
}

/// Differences between the clients' messages and the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Answers that bidders received.
    pub answered: u64,
    /// Answers that are missing in the journal.
    pub lost: u64,
    /// Answers that differ from the journal or between two receptions.
    pub changed: u64,
    /// Events that bidders received.
    pub seen: u64,
    /// Violations as text.
    pub wrong: Vec<String>,
}

/// Compares the bidders' messages with a journal.
pub fn compare<'a>(audit: &Audit, bidders: impl Iterator<Item = &'a Bidder>) -> Compared {
    let mut compared = Compared::default();
    for bidder in bidders {
        let user = bidder.user();
        compared.changed += bidder.figures().wrong.len() as u64;
        compared
            .wrong
            .extend(bidder.figures().wrong.iter().cloned());
        if bidder.client().errors() > 0 {
            compared.wrong.push(format!(
                "{user:?}: {} packets or events made no sense",
                bidder.client().errors()
            ));
        }
        for (id, receipt) in bidder.receipts() {
            compared.answered += 1;
            let kept = audit.receipts.get(&(user, *id));
            if kept != Some(receipt) {
                compared.lost += u64::from(kept.is_none());
                compared.changed += u64::from(kept.is_some());
                compared.wrong.push(format!(
                    "{user:?} was told {receipt:?} of {id:?}, but the journal says {kept:?}"
                ));
            }
        }
        for id in bidder.refused() {
            if let Some(kept) = audit.receipts.get(&(user, *id)) {
                compared.wrong.push(format!(
                    "{user:?} was told that {id:?} was not taken, but {kept:?}"
                ));
            }
        }
        for event in bidder.seen() {
            compared.seen += 1;
            let events = audit.events.get(&event.lot);
            let kept = events.and_then(|events| events.get(event.sequence as usize - 1));
            if kept != Some(event) {
                compared.wrong.push(format!(
                    "{user:?} saw {event:?}, but the journal says {kept:?}"
                ));
            }
        }
        compared.wrong.extend(copies(audit, bidder));
    }
    compared
}

/// Returns the differences between a bidder's copies of lots and the journal.
fn copies(audit: &Audit, bidder: &Bidder) -> Vec<String> {
    let (mut wrong, user) = (Vec::new(), bidder.user());
    let now = audit.house().map_or(0, |house| house.tick());
    for (id, events) in &audit.events {
        let Some(known) = bidder.client().lot(*id) else {
            continue;
        };
        let told = as_told(events, known.sequence);
        if told.as_ref() != Some(known) {
            wrong.push(format!("{user:?} holds {known:?}, but was told {told:?}"));
        }
        let due = events
            .iter()
            .rev()
            .find(|event| event.tick + UNDERWAY < now);
        if due.is_some_and(|due| due.sequence > known.sequence) {
            wrong.push(format!(
                "{user:?} knows of {known:?} only, though {due:?} happened long ago"
            ));
        }
    }
    wrong
}

impl AuctionWorld {
    /// Reads the journal and compares it with the messages to all members.
    pub fn check(&mut self) -> AuctionFigures {
        let mut audit = Audit::default();
        if let Err(error) = read_all(&self.folder, &mut audit) {
            self.wrong
                .push(format!("the journal cannot be read: {error}"));
            return AuctionFigures::default();
        }
        audit.finish();
        self.wrong.extend(
            audit
                .findings
                .iter()
                .map(|finding| format!("audit: {finding}")),
        );
        let compared = compare(&audit, self.members.iter().map(|member| &member.bidder));
        self.wrong.extend(compared.wrong);
        let lots = audit.house().map(|house| house.lots());
        AuctionFigures {
            answered: compared.answered,
            seen: compared.seen,
            openings: audit.openings,
            ended: lots.map_or(0, |lots| {
                lots.values().filter(|lot| lot.ending.is_some()).count() as u64
            }),
            damage: self.folder.damage(),
            hash: audit.house().map_or(0, |house| house.hash_anew()),
        }
    }
}

/// A lot after its first `sequence` events.
fn as_told(events: &[LotEvent], sequence: u64) -> Option<PublicLot> {
    let mut lot = PublicLot::opened(events.first()?)?;
    let follows = |event: &LotEvent| lot.apply(event);
    events
        .get(1..sequence as usize)?
        .iter()
        .all(follows)
        .then_some(lot)
}
