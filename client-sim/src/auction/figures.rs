//! What a crowd has seen and done, all together.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_server::metrics::Times;
use truetick_shared::auction::money::Amount;
use truetick_shared::auction::public_lot::PublicSale;
use truetick_shared::auction::terms::Pricing;

use super::bidder::Bidder;
use super::strategy::Strategy;

/// Lots that are shown.
const SHOWN: usize = 8;

/// A lot as a line of a table.
#[derive(Clone, Debug)]
pub struct LotLine {
    /// Its number.
    pub lot: u32,
    /// What.
    pub title: String,
    /// How it is sold.
    pub sale: &'static str,
    /// What it costs now.
    pub price: Amount,
    /// What the leader is called.
    pub leader: Option<u32>,
    /// Bids that everyone saw.
    pub bids: u64,
    /// Until it closes.
    pub left: Duration,
    /// Whether the clock stands still.
    pub paused: bool,
    /// Whether the close was moved by late bids.
    pub extended: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct CrowdFigures {
    /// Visitors in the house.
    pub joined: usize,
    /// How many of which manner.
    pub manners: BTreeMap<Strategy, usize>,
    /// Commands said.
    pub said: u64,
    /// Answered: they count.
    pub accepted: u64,
    /// Answered: they had no effect.
    pub rejected: u64,
    /// Not taken.
    pub refused: u64,
    /// Said, and not answered yet.
    pub unanswered: u64,
    /// Events seen by all together.
    pub events: u64,
    /// Lots seen as they were, instead of events.
    pub shown: u64,
    /// Lots that have ended.
    pub ended: usize,
    /// What must never be.
    pub wrong: Vec<String>,
    /// From a command's first saying to its answer.
    pub answer: Times,
    /// Some lots that are open.
    pub lots: Vec<LotLine>,
    /// Processor time of the crowd's thread.
    pub cpu: Duration,
}

impl CrowdFigures {
    /// Adds a visitor.
    pub fn add(&mut self, bidder: &Bidder) {
        let figures = bidder.figures();
        self.said += figures.said;
        self.accepted += figures.accepted;
        self.rejected += figures.rejected;
        self.refused += figures.refused;
        self.unanswered += bidder.client().unanswered() as u64;
        self.events += figures.events;
        self.shown += figures.shown;
        self.wrong.extend(figures.wrong.iter().cloned());
        let errors = bidder.client().errors();
        if errors > 0 {
            self.wrong
                .push(format!("{:?}: {errors} packets or events made no sense", bidder.user()));
        }
        self.answer.merge(&figures.answer);
    }

    /// Looks at the lots with one visitor's eyes.
    pub fn look_at_lots(&mut self, bidder: Option<&Bidder>, now: Timestamp) {
        let Some(bidder) = bidder else { return };
        let client = bidder.client();
        let known: Vec<_> = bidder.lots().iter().filter_map(|lot| client.lot(*lot)).collect();
        self.ended = known.iter().filter(|lot| lot.ending.is_some()).count();
        for lot in known.into_iter().filter(|lot| lot.ending.is_none()) {
            let (Some(left), Some(tick)) = (client.countdown(lot.lot, now), client.tick(now))
            else {
                continue;
            };
            let sale = match &lot.terms.sale {
                PublicSale::English { .. } => "English",
                PublicSale::Dutch(_) => "Dutch",
                PublicSale::Sealed { pricing: Pricing::First, .. } => "sealed",
                PublicSale::Sealed { pricing: Pricing::Second, .. } => "Vickrey",
            };
            self.lots.push(LotLine {
                lot: lot.lot.0,
                title: lot.terms.title.clone(),
                sale,
                price: lot.asks(tick),
                leader: lot.leader,
                bids: lot.bids,
                left: left.left,
                paused: left.paused,
                extended: bidder.was_extended(lot.lot),
            });
        }
        self.lots.sort_by_key(|line| line.left);
        self.lots.truncate(SHOWN);
    }
}
