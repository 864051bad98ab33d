//! The figures of all bidders of a crowd together.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_auction::money::Amount;
use truetick_auction::public_lot::PublicSale;
use truetick_auction::terms::Pricing;
use truetick_netcode::time::Timestamp;
use truetick_server::metrics::Times;

use super::bidder::Bidder;
use super::strategy::Strategy;

/// Number of lots in a table.
const SHOWN: usize = 8;

/// A lot as a line of a table.
#[derive(Clone, Debug)]
pub struct LotLine {
    /// Number of the lot.
    pub lot: u32,
    /// Title of the lot.
    pub title: String,
    /// Kind of sale.
    pub sale: &'static str,
    /// Price at this time.
    pub price: Amount,
    /// Alias of the leader, if there is one.
    pub leader: Option<u32>,
    /// Number of public bids.
    pub bids: u64,
    /// Time until the close.
    pub left: Duration,
    /// Whether the countdown is paused.
    pub paused: bool,
    /// Whether late bids moved the close.
    pub extended: bool,
}

/// Figures of all bidders together.
#[derive(Clone, Debug, Default)]
pub struct CrowdFigures {
    /// Number of bidders in the room, of any strategy.
    pub joined: usize,
    /// Number of bidders that never joined, or left and did not join again in time.
    pub absent: usize,
    /// Number of bidders by strategy.
    pub manners: BTreeMap<Strategy, usize>,
    /// Number of commands submitted, repeats not counted.
    pub said: u64,
    /// Number of commands answered as accepted.
    pub accepted: u64,
    /// Number of commands answered as rejected: they had no effect.
    pub rejected: u64,
    /// Number of commands refused before they were ordered.
    pub refused: u64,
    /// Number of commands without an answer so far.
    pub unanswered: u64,
    /// Number of lot events received.
    pub events: u64,
    /// Number of lots received as complete states, in place of events.
    pub shown: u64,
    /// Number of known lots that have ended.
    pub ended: usize,
    /// Violations of the protocol. There must be none.
    pub wrong: Vec<String>,
    /// Time from a command's first submission to its answer.
    pub answer: Times,
    /// Up to eight open lots, those that close first.
    pub lots: Vec<LotLine>,
    /// CPU time of the crowd's thread.
    pub cpu: Duration,
}

impl CrowdFigures {
    /// Adds the figures of a bidder.
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
            self.wrong.push(format!(
                "{:?}: {errors} packets or events made no sense",
                bidder.user()
            ));
        }
        self.answer.merge(&figures.answer);
    }

    /// Fills in the lots as one bidder knows them.
    pub(crate) fn look_at_lots(&mut self, bidder: Option<&Bidder>, now: Timestamp) {
        let Some(bidder) = bidder else { return };
        let client = bidder.client();
        let known: Vec<_> = bidder
            .lots()
            .iter()
            .filter_map(|lot| client.lot(*lot))
            .collect();
        self.ended = known.iter().filter(|lot| lot.ending.is_some()).count();
        for lot in known.into_iter().filter(|lot| lot.ending.is_none()) {
            let (Some(left), Some(tick)) = (client.countdown(lot.lot, now), client.tick(now))
            else {
                continue;
            };
            let sale = match &lot.terms.sale {
                PublicSale::English { .. } => "English",
                PublicSale::Dutch(_) => "Dutch",
                PublicSale::Sealed {
                    pricing: Pricing::First,
                    ..
                } => "sealed",
                PublicSale::Sealed {
                    pricing: Pricing::Second,
                    ..
                } => "Vickrey",
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
