//! A lot with all that is secret of it.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};

use super::english::{English, EnglishTerms};
use super::event::Ending;
use super::ledger::{AccountIndex, hash_words};
use super::money::Amount;
use super::offers::{Offer, Offers};
use super::order::CommandId;
use super::terms::{Extend, LotId, Sale, Terms};

/// What bidders on a sealed lot are called: one of so many numbers, far more than there are users.
const SEALED_ALIASES: u64 = 1 << 31;

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
    /// Each bidder's offer: the maximum, or what is under seal.
    pub offers: Offers,
    /// What bidders are called here.
    pub aliases: BTreeMap<AccountIndex, u32>,
    /// Those names on a sealed lot, where they do not follow from how many there are.
    taken: BTreeSet<u32>,
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
        let (closes, history) =
            (now + terms.duration, xxhash_rust::xxh3::xxh3_64(&bitcode::encode(&terms)));
        Self {
            terms,
            opened: now,
            closes,
            extended: 0,
            events: 0,
            shown: 0,
            english: English::default(),
            offers: Offers::default(),
            aliases: BTreeMap::new(),
            taken: BTreeSet::new(),
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
            if self.taken.insert(alias) {
                break alias;
            }
        };
        self.aliases.insert(account, alias);
        alias
    }

    /// Forgets what one of its bidders was called; false if none is left.
    pub(super) fn forget_name(&mut self) -> bool {
        self.aliases.pop_first().is_some() | self.taken.pop_first().is_some()
    }

    /// What the leader is called.
    pub fn leader_alias(&self) -> Option<u32> {
        self.english.leader.and_then(|leader| self.aliases.get(&leader.account).copied())
    }

    /// A bid that everyone sees was made now: late ones move the close.
    pub fn extend(&mut self, now: u64) {
        let Some(soft) = self.terms.soft_close else {
            return;
        };
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

    /// Whether offers are kept under seal.
    pub fn is_sealed(&self) -> bool {
        matches!(self.terms.sale, Sale::Sealed { .. })
    }

    /// What is held for it, of whom: every offer under seal, or the leader's maximum.
    pub fn holds(&self) -> impl Iterator<Item = (AccountIndex, Amount)> {
        let sealed = self.offers.iter().filter(|_| self.is_sealed());
        let leading = self.english.leader.map(|leader| (leader.account, leader.maximum));
        sealed.map(|(account, offer)| (account, offer.amount)).chain(leading)
    }

    /// Offers under seal by what their bidders are called.
    pub fn revealed(&self) -> Vec<(u32, Amount)> {
        let sealed = self.offers.iter().filter(|_| self.is_sealed());
        let offer = |(account, offer): (AccountIndex, Offer)| {
            Some((*self.aliases.get(&account)?, offer.amount))
        };
        let mut revealed: Vec<_> = sealed.filter_map(offer).collect();
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
            self.offers.taken(),
            self.offers.len() as u64,
            self.answered.len() as u64,
            u64::from(self.ending.is_some()),
        ])
    }
}
