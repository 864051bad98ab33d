//! A lot with all that is secret of it.

use std::collections::BTreeMap;

use bitcode::{Decode, Encode};

use super::english::{English, EnglishTerms, Leader};
use super::event::Ending;
use super::ledger::{AccountIndex, hash_words};
use super::money::Amount;
use super::order::CommandId;
use super::terms::{Extend, LotId, Sale, Terms};

/// What bidders on a sealed lot are called: one of so many numbers.
const SEALED_ALIASES: u64 = 1_000_000;

/// An offer under seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedBid {
    /// How much.
    pub amount: Amount,
    /// Its place in the order of all commands: of equal offers the earlier wins.
    pub order: u64,
}

/// An accepted bid, as the lot remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LotBid {
    /// Whose.
    pub account: AccountIndex,
    /// Up to what.
    pub maximum: Amount,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lot {
    /// What it is sold under.
    pub terms: Terms,
    /// Tick of its opening; moves with the clock's pauses.
    pub opened: u64,
    /// Tick at which it closes; bids of earlier ticks count.
    pub closes: u64,
    /// How far late bids have moved the close.
    pub extended: u64,
    /// Events so far.
    pub events: u64,
    /// Bids that everyone saw.
    pub shown: u64,
    /// An English sale's standing.
    pub english: English,
    /// Offers under seal, by account.
    pub sealed: BTreeMap<AccountIndex, SealedBid>,
    /// What bidders are called here.
    pub aliases: BTreeMap<AccountIndex, u32>,
    /// Accepted bids in their order.
    pub bids: Vec<LotBid>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// Commands about this lot whose receipts are kept until the lot is forgotten.
    pub answered: Vec<(AccountIndex, CommandId)>,
    /// Chain over all that happened to it.
    history: u64,
    /// Its part of the house's hash.
    pub(super) part: u64,
}

impl Lot {
    /// A lot that opens now.
    pub fn new(terms: Terms, now: u64) -> Self {
        let (closes, history) = (now + terms.duration, xxhash_rust::xxh3::xxh3_64(&bitcode::encode(&terms)));
        Self {
            terms,
            opened: now,
            closes,
            extended: 0,
            events: 0,
            shown: 0,
            english: English::default(),
            sealed: BTreeMap::new(),
            aliases: BTreeMap::new(),
            bids: Vec::new(),
            ending: None,
            answered: Vec::new(),
            history,
            part: 0,
        }
    }

    /// The numbers of an English sale.
    pub fn english_terms(&self) -> Option<EnglishTerms<'_>> {
        match &self.terms.sale {
            Sale::English { start, increments, reserve, .. } => {
                Some(EnglishTerms { start: *start, increments, reserve: *reserve })
            }
            _ => None,
        }
    }

    /// Whether the reserve is met; true where there is none.
    pub fn reserve_met(&self) -> bool {
        self.english_terms().is_none_or(|terms| self.english.meets_reserve(terms))
    }

    /// What a bidder is called here, from now on.
    pub fn alias(&mut self, account: AccountIndex) -> u32 {
        let next = self.aliases.len() as u32 + 1;
        *self.aliases.entry(account).or_insert(next)
    }

    /// The same on a sealed lot: a number that says nothing of how many have bid.
    pub fn sealed_alias(&mut self, account: AccountIndex) -> u32 {
        if let Some(known) = self.aliases.get(&account) {
            return *known;
        }
        let mut chance = self.history;
        let alias = loop {
            chance = hash_words(&[chance, u64::from(account.0)]);
            let alias = (chance % SEALED_ALIASES) as u32 + 1;
            if !self.aliases.values().any(|taken| *taken == alias) {
                break alias;
            }
        };
        self.aliases.insert(account, alias);
        alias
    }

    /// What the leader is called.
    pub fn leader_alias(&self) -> Option<u32> {
        self.english.leader.and_then(|leader| self.aliases.get(&leader.account).copied())
    }

    /// A bid that everyone sees was made now: late ones move the close.
    pub fn extend(&mut self, now: u64) {
        let Some(soft) = self.terms.soft_close else { return };
        if self.closes.saturating_sub(now) >= u64::from(soft.window) {
            return;
        }
        let wanted = match soft.mode {
            Extend::Add => self.closes + u64::from(soft.extension),
            Extend::Reset => self.closes.max(now + u64::from(soft.extension)),
        };
        let scheduled = self.closes - self.extended;
        let hard_end = soft.hard_end.map_or(u64::MAX, |end| self.opened + end);
        let closes = wanted.min(scheduled + u64::from(soft.most)).min(hard_end).max(self.closes);
        self.extended += closes - self.closes;
        self.closes = closes;
    }

    /// Notes in the lot's chain what happened.
    pub fn note(&mut self, words: [u64; 4]) {
        self.history = hash_words(&[self.history, words[0], words[1], words[2], words[3]]);
    }

    /// The highest maximum of each bidder who is not left out, in the order in which those were offered.
    pub fn maxima(&self, left_out: &[AccountIndex]) -> Vec<Leader> {
        let mut highest: BTreeMap<AccountIndex, (Amount, usize)> = BTreeMap::new();
        for (place, bid) in self.bids.iter().enumerate().filter(|(_, bid)| !left_out.contains(&bid.account)) {
            let entry = highest.entry(bid.account).or_insert((Amount::ZERO, place));
            if bid.maximum > entry.0 {
                *entry = (bid.maximum, place);
            }
        }
        let mut maxima: Vec<_> = highest.into_iter().collect();
        maxima.sort_unstable_by_key(|(_, (_, place))| *place);
        maxima.into_iter().map(|(account, (maximum, _))| Leader { account, maximum }).collect()
    }

    /// Offers under seal, the best first: higher, then earlier.
    pub fn ranked(&self) -> Vec<(AccountIndex, SealedBid)> {
        let mut ranked: Vec<_> = self.sealed.iter().map(|(account, bid)| (*account, *bid)).collect();
        ranked.sort_unstable_by_key(|(_, bid)| (std::cmp::Reverse(bid.amount), bid.order));
        ranked
    }

    /// Offers under seal by what their bidders are called.
    pub fn revealed(&self) -> Vec<(u32, Amount)> {
        let offer =
            |(account, alias): (&AccountIndex, &u32)| Some((*alias, self.sealed.get(account)?.amount));
        let mut revealed: Vec<_> = self.aliases.iter().filter_map(offer).collect();
        revealed.sort_unstable();
        revealed
    }

    pub(super) fn hash(&self, id: LotId) -> u64 {
        let leader = self.english.leader;
        hash_words(&[
            u64::from(id.0),
            self.history,
            self.opened,
            self.closes,
            self.extended,
            self.events,
            self.shown,
            leader.map_or(u64::MAX, |leader| u64::from(leader.account.0)),
            leader.map_or(0, |leader| leader.maximum.0),
            self.english.price.unwrap_or_default().0,
            self.bids.len() as u64,
            self.sealed.len() as u64,
            self.answered.len() as u64,
            u64::from(self.ending.is_some()),
        ])
    }
}
