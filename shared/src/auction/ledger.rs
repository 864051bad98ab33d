//! Accounts: what is available, held and paid. Money moves between the three and leaves or enters
//! by deposit and withdrawal only, so of each account `available + held + paid = deposited`.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::limits::{ACCOUNTS, LASTING_RECEIPTS, RECEIPTS_PER_STRANGER, RECEIPTS_PER_USER};
use super::money::Amount;
use super::order::{CommandId, Receipt, Reject};
use super::terms::LotId;

/// Place of an account in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AccountIndex(pub u32);

/// A receipt that is kept, with what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// [`super::order::Command::body_hash`].
    pub body: u64,
    /// The answer.
    pub receipt: Receipt,
}

/// One user's account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// Whose.
    pub user: UserId,
    /// Whether those who run the house opened it; a mere stranger's keeps receipts only.
    pub registered: bool,
    /// On the list of those who may not bid.
    pub denied: bool,
    /// What can be bid with.
    pub available: Amount,
    /// What stands behind leading, and sealed, bids.
    pub held: Amount,
    /// What was paid for lots.
    pub paid: Amount,
    /// What came in, less what went out.
    pub deposited: Amount,
    /// Commands of its user that were decided.
    decided: u64,
    receipts: BTreeMap<CommandId, Kept>,
    /// Lots on which its user has an offer, and some on which its user had one.
    lots: BTreeSet<LotId>,
    touched: bool,
    /// Its part of the ledger's hash.
    part: u64,
}

impl Account {
    fn new(user: UserId) -> Self {
        Self {
            user,
            registered: false,
            denied: false,
            available: Amount::ZERO,
            held: Amount::ZERO,
            paid: Amount::ZERO,
            deposited: Amount::ZERO,
            decided: 0,
            receipts: BTreeMap::new(),
            lots: BTreeSet::new(),
            touched: false,
            part: 0,
        }
    }

    /// Receipts kept, by the user's names for the commands.
    pub fn receipts(&self) -> impl Iterator<Item = (CommandId, &Kept)> {
        self.receipts.iter().map(|(id, kept)| (*id, kept))
    }

    /// Lots on which its user has an offer, and some on which its user had one.
    pub fn lots(&self) -> &BTreeSet<LotId> {
        &self.lots
    }

    /// Whether nothing came from nowhere and nothing got lost.
    pub fn is_balanced(&self) -> bool {
        self.available.plus(self.held).plus(self.paid) == self.deposited
    }

    fn hash(&self, index: AccountIndex) -> u64 {
        let flags = u64::from(self.registered) | u64::from(self.denied) << 1;
        let moneys = [self.available, self.held, self.paid, self.deposited].map(|amount| amount.0);
        let [available, held, paid, deposited] = moneys;
        let whose = [u64::from(index.0), self.user.0, flags, self.decided];
        hash_words(&[whose[0], whose[1], whose[2], whose[3], available, held, paid, deposited])
    }
}

/// XXH3-64 over numbers.
pub(super) fn hash_words(words: &[u64]) -> u64 {
    let mut bytes = [0; 128];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes[..words.len() * 8])
}

fn kept_hash(index: AccountIndex, id: CommandId, kept: &Kept) -> u64 {
    xxh3_64_with_seed(&bitcode::encode(kept), hash_words(&[u64::from(index.0), id.0]))
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ledger {
    accounts: Vec<Account>,
    by_user: BTreeMap<UserId, AccountIndex>,
    touched: Vec<AccountIndex>,
    /// Sum of the hashes of all accounts and receipts: what changes is taken out and put back in.
    sum: u64,
    /// Receipts kept, of all users; and how many of them are kept for ever.
    kept: u64,
    lasting: u64,
}

impl Ledger {
    /// All accounts, by their places.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// A user's account.
    pub fn find(&self, user: UserId) -> Option<AccountIndex> {
        self.by_user.get(&user).copied()
    }

    /// An account.
    pub fn account(&self, index: AccountIndex) -> &Account {
        &self.accounts[index.0 as usize]
    }

    /// A user's account, made if the user is new; `None` if no more fit.
    pub fn meet(&mut self, user: UserId) -> Option<AccountIndex> {
        if let Some(index) = self.find(user) {
            return Some(index);
        }
        if self.accounts.len() == ACCOUNTS {
            return None;
        }
        let index = AccountIndex(self.accounts.len() as u32);
        self.accounts.push(Account::new(user));
        self.by_user.insert(user, index);
        self.touch(index);
        Some(index)
    }

    fn touch(&mut self, index: AccountIndex) -> &mut Account {
        let account = &mut self.accounts[index.0 as usize];
        if !account.touched {
            account.touched = true;
            self.touched.push(index);
        }
        account
    }

    /// Registers a user, with some money or none.
    pub fn deposit(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.registered = true;
        account.available = account.available.plus(amount);
        account.deposited = account.deposited.plus(amount);
    }

    /// Takes available money out.
    pub fn withdraw(&mut self, index: AccountIndex, amount: Amount) -> Result<(), Reject> {
        self.require(index, amount)?;
        let account = self.touch(index);
        account.available = account.available.minus(amount);
        account.deposited = account.deposited.minus(amount);
        Ok(())
    }

    /// Puts a user on the list of those who may not bid, or takes them off it.
    pub fn deny(&mut self, index: AccountIndex, denied: bool) {
        self.touch(index).denied = denied;
    }

    /// Whether so much is available.
    pub fn require(&self, index: AccountIndex, amount: Amount) -> Result<(), Reject> {
        if self.account(index).available < amount { Err(Reject::Funds) } else { Ok(()) }
    }

    /// Holds what [`Self::require`] found to be there.
    pub fn hold(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.available = account.available.minus(amount);
        account.held = account.held.plus(amount);
    }

    /// Gives back what was held.
    pub fn release(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.held = account.held.minus(amount);
        account.available = account.available.plus(amount);
    }

    /// Pays `price` out of `held`, and gives back the rest of it.
    pub fn settle(&mut self, index: AccountIndex, held: Amount, price: Amount) {
        self.release(index, held.minus(price));
        let account = self.touch(index);
        account.held = account.held.minus(price);
        account.paid = account.paid.plus(price);
    }

    /// The answer that a command got before.
    pub fn receipt(&self, index: AccountIndex, id: CommandId) -> Option<&Kept> {
        self.account(index).receipts.get(&id)
    }

    /// Whether one more receipt fits.
    pub fn has_room(&self, index: AccountIndex) -> bool {
        let account = self.account(index);
        account.receipts.len()
            < if account.registered { RECEIPTS_PER_USER } else { RECEIPTS_PER_STRANGER }
    }

    /// The number of a user's next command.
    pub fn next_number(&mut self, index: AccountIndex) -> u64 {
        let account = self.touch(index);
        account.decided += 1;
        account.decided
    }

    /// Receipts kept, of all users.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Whether one more receipt fits that is kept for ever.
    pub fn has_room_for_ever(&self) -> bool {
        self.lasting < LASTING_RECEIPTS
    }

    /// Keeps an answer for ever.
    pub fn keep_for_ever(&mut self, index: AccountIndex, id: CommandId, kept: Kept) {
        self.lasting += 1;
        self.keep(index, id, kept);
    }

    /// The user has an offer on a lot.
    pub fn note_lot(&mut self, index: AccountIndex, lot: LotId) {
        self.accounts[index.0 as usize].lots.insert(lot);
    }

    /// The lot is forgotten, or the user's offer was taken back.
    pub fn forget_lot(&mut self, index: AccountIndex, lot: LotId) {
        self.accounts[index.0 as usize].lots.remove(&lot);
    }

    /// Keeps an answer.
    pub fn keep(&mut self, index: AccountIndex, id: CommandId, kept: Kept) {
        self.kept += 1;
        self.sum = self.sum.wrapping_add(kept_hash(index, id, &kept));
        self.accounts[index.0 as usize].receipts.insert(id, kept);
    }

    /// Forgets an answer.
    pub fn forget(&mut self, index: AccountIndex, id: CommandId) {
        if let Some(kept) = self.accounts[index.0 as usize].receipts.remove(&id) {
            self.kept -= 1;
            self.sum = self.sum.wrapping_sub(kept_hash(index, id, &kept));
        }
    }

    /// Hash of all of it.
    pub fn hash(&mut self) -> u64 {
        for index in std::mem::take(&mut self.touched) {
            let account = &mut self.accounts[index.0 as usize];
            let part = account.hash(index);
            self.sum = self.sum.wrapping_add(part).wrapping_sub(account.part);
            (account.touched, account.part) = (false, part);
        }
        self.sum
    }

    /// The same hash, from the beginning: what [`Self::hash`] must come to.
    pub fn hash_anew(&self) -> u64 {
        let parts = (0..).map(AccountIndex).zip(&self.accounts).map(|(index, account)| {
            let receipts = account.receipts().map(|(id, kept)| kept_hash(index, id, kept));
            receipts.fold(account.hash(index), u64::wrapping_add)
        });
        parts.fold(0, u64::wrapping_add)
    }
}
