//! What must hold at the end of a run, told from what clients were told and from the journal alone.

use truetick_server::auction::audit::Audit;
use truetick_server::journal::open::read_all;
use truetick_shared::auction::order::CommandId;

use super::world::AuctionWorld;

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
            for id in house.lots().keys() {
                let (known, is) = (member.visitor.client().lot(*id), house.public(*id));
                if known.is_some() && known != is.as_ref() {
                    let user = member.visitor.user();
                    wrong.push(format!("{user:?} holds {known:?} at the end, but it is {is:?}"));
                }
            }
        }
        figures.ended = house.lots().values().filter(|lot| lot.ending.is_some()).count() as u64;
        figures.hash = house.hash_anew();
        self.wrong.extend(wrong);
        figures
    }
}
