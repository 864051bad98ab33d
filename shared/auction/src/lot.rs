//! A lot with its secret state.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};

use super::english::{English, EnglishTerms};
use super::event::Ending;
use super::ledger::{AccountIndex, hash_words};
use super::money::Amount;
use super::offers::{Offer, Offers};
use super::order::CommandId;
use super::terms::{Extend, LotId, Sale, Terms};

/// Number of possible aliases on a sealed lot, far above the number of users.
const SEALED_ALIASES: u64 = 1 << 31;

/// A lot with its secret state: hidden maxima, sealed offers and the accounts behind the aliases.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lot {
    /// The lot's terms.
    pub terms: Terms,
    /// Tick of the opening, shifted by the clock's pauses.
    pub opened: u64,
    /// Tick of the close. Bids of earlier ticks count.
    pub closes: u64,
    /// Ticks by which late bids have moved the close.
    pub extended: u64,
    /// Number of events so far.
    pub events: u64,
    /// Number of bids that everyone saw.
    pub shown: u64,
    /// Standing of an English sale; empty for other sales.
    pub english: English,
    /// Offer of each bidder: the maximum in an English sale, the amount in a sealed one.
    pub offers: Offers,
    /// Alias of each bidder on this lot.
    pub aliases: BTreeMap<AccountIndex, u32>,
    /// Aliases in use on a sealed lot, where they are drawn at random.
    taken: BTreeSet<u32>,
    /// How the lot ended, if it has.
    pub ending: Option<Ending>,
    /// Commands on this lot whose receipts are kept until the lot is removed.
    pub answered: Vec<(AccountIndex, CommandId)>,
    /// Hash chain over everything that happened to the lot.
    history: u64,
    /// Contribution of the lot to the house's hash.
    pub(super) part: u64,
}

impl Lot {
    /// Creates a lot that opens at tick `now`.
    pub fn new(terms: Terms, now: u64) -> Self {
        let (closes, history) = (
            now + terms.duration,
            xxhash_rust::xxh3::xxh3_64(&bitcode::encode(&terms)),
        );
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

    /// Returns the terms that determine the price of an English sale, `None` for other sales.
    pub(crate) fn english_terms(&self) -> Option<EnglishTerms<'_>> {
        match &self.terms.sale {
            Sale::English {
                start,
                increments,
                reserve,
                ..
            } => Some(EnglishTerms {
                start: *start,
                increments,
                reserve: *reserve,
            }),
            _ => None,
        }
    }

    /// Returns whether the reserve is met; true where there is none.
    pub(crate) fn reserve_met(&self) -> bool {
        self.english_terms()
            .is_none_or(|terms| self.english.meets_reserve(terms))
    }

    /// Returns a bidder's alias on this lot: 1, 2, 3 ... in the order of first use.
    pub fn alias(&mut self, account: AccountIndex) -> u32 {
        let next = self.aliases.len() as u32 + 1;
        *self.aliases.entry(account).or_insert(next)
    }

    /// Returns a bidder's alias on a sealed lot. It is drawn from the lot's history, so that it
    /// does not reveal the number of bidders.
    pub(crate) fn sealed_alias(&mut self, account: AccountIndex) -> u32 {
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

    /// Removes one alias; false if none is left.
    pub(super) fn forget_name(&mut self) -> bool {
        self.aliases.pop_first().is_some() | self.taken.pop_first().is_some()
    }

    /// Returns the leader's alias.
    pub fn leader_alias(&self) -> Option<u32> {
        self.english
            .leader
            .and_then(|leader| self.aliases.get(&leader.account).copied())
    }

    /// Moves the close after a visible bid at tick `now`, if the lot has a soft close and the bid
    /// falls into its window.
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
        let closes = wanted
            .min(scheduled + u64::from(soft.most))
            .min(hard_end)
            .max(self.closes);
        self.extended += closes - self.closes;
        self.closes = closes;
    }

    /// Adds an entry to the lot's hash chain.
    pub fn note(&mut self, words: [u64; 4]) {
        self.history = hash_words(&[self.history, words[0], words[1], words[2], words[3]]);
    }

    /// Returns whether the sale is sealed.
    pub fn is_sealed(&self) -> bool {
        matches!(self.terms.sale, Sale::Sealed { .. })
    }

    /// Returns the amounts held for the lot by account: every sealed offer, or the leader's
    /// maximum.
    pub fn holds(&self) -> impl Iterator<Item = (AccountIndex, Amount)> {
        let sealed = self.offers.iter().filter(|_| self.is_sealed());
        let leading = self
            .english
            .leader
            .map(|leader| (leader.account, leader.maximum));
        sealed
            .map(|(account, offer)| (account, offer.amount))
            .chain(leading)
    }

    /// Returns the sealed offers by alias, in ascending order.
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
