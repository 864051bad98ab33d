//! What must hold at the end of a run, told from what clients were told and from the journal alone.

use truetick_server::auction::audit::Audit;
use truetick_server::journal::open::read_all;
use truetick_shared::auction::event::LotEvent;
use truetick_shared::auction::order::CommandId;
use truetick_shared::auction::public_lot::PublicLot;

use super::world::AuctionWorld;

/// Ticks that news may be under way at the end.
const UNDERWAY: u64 = 60;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuctionFigures {
    /// Answers that visitors got.
    pub answered: u64,
    /// Events that they saw.
    pub seen: u64,
    /// Times that a server began to run the house.
    pub openings: u32,
    /// Lots that ended.
    pub ended: u64,
    /// Sectors torn and lost.
    pub damage: (u64, u64),
    /// Hash of the house at the end.
    pub hash: u64,
}

impl AuctionWorld {
    /// Reads the journal and compares it with what everyone was told.
    pub fn check(&mut self) -> AuctionFigures {
        let mut audit = Audit::default();
        if let Err(error) = read_all(&self.folder, &mut audit) {
            self.wrong.push(format!("the journal cannot be read: {error}"));
            return AuctionFigures::default();
        }
        audit.finish();
        self.wrong.extend(audit.findings.iter().map(|finding| format!("audit: {finding}")));
        let mut figures =
            AuctionFigures { openings: audit.openings, damage: self.folder.damage(), ..Default::default() };
        let mut wrong = Vec::new();
        for member in &self.members {
            let visitor = &member.visitor;
            let user = visitor.user();
            wrong.extend(visitor.figures().wrong.iter().cloned());
            if visitor.client().errors() > 0 {
                wrong
                    .push(format!("{user:?}: {} packets or events made no sense", visitor.client().errors()));
            }
            for (id, receipt) in visitor.receipts() {
                figures.answered += 1;
                let kept = audit.receipts.get(&(user, CommandId(id.0)));
                if kept != Some(receipt) {
                    wrong.push(format!(
                        "{user:?} was told {receipt:?} of {id:?}, but the journal says {kept:?}"
                    ));
                }
            }
            for event in visitor.seen() {
                figures.seen += 1;
                let events = audit.events.get(&event.lot);
                let kept = events.and_then(|events| events.get(event.sequence as usize - 1));
                if kept != Some(event) {
                    wrong.push(format!("{user:?} saw {event:?}, but the journal says {kept:?}"));
                }
            }
        }
        let Some(house) = audit.house() else { return figures };
        for member in &self.members {
            for (id, events) in &audit.events {
                let Some(known) = member.visitor.client().lot(*id) else { continue };
                let user = member.visitor.user();
                let told = as_told(events, known.sequence);
                if told.as_ref() != Some(known) {
                    wrong.push(format!("{user:?} holds {known:?}, but was told {told:?}"));
                }
                let due = events.iter().rev().find(|event| event.tick + UNDERWAY < house.tick());
                if due.is_some_and(|due| due.sequence > known.sequence) {
                    wrong.push(format!("{user:?} knows of {known:?} only, though {due:?} happened long ago"));
                }
            }
        }
        figures.ended = house.lots().values().filter(|lot| lot.ending.is_some()).count() as u64;
        figures.hash = house.hash_anew();
        self.wrong.extend(wrong);
        figures
    }
}

/// A lot as its first events tell it.
fn as_told(events: &[LotEvent], sequence: u64) -> Option<PublicLot> {
    let mut lot = PublicLot::opened(events.first()?)?;
    let follows = |event: &LotEvent| lot.apply(event);
    events.get(1..sequence as usize)?.iter().all(follows).then_some(lot)
}
