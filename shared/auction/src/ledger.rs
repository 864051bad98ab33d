//! Accounts: amounts available, held and paid. Money moves between the three and enters or leaves
//! only by deposit and withdrawal, so for each account `available + held + paid = deposited`.

use std::collections::{BTreeMap, BTreeSet};

use bitcode::{Decode, Encode};
use truetick_netcode::session::UserId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::limits::{ACCOUNTS, LASTING_RECEIPTS, RECEIPTS_PER_STRANGER, RECEIPTS_PER_USER};
use super::money::Amount;
use super::order::{CommandId, Receipt, Reject};
use super::terms::LotId;

/// Index of an account in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AccountIndex(pub u32);

/// A receipt that is kept, with a hash of the command it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// Hash of the command, by [`super::order::Command::body_hash`].
    pub body: u64,
    /// What was decided on the command.
    pub receipt: Receipt,
}

/// The account of one user.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// Owner of the account.
    pub user: UserId,
    /// Whether an administrator has opened the account. One that is not registered only keeps
    /// receipts.
    pub registered: bool,
    /// Whether the user is barred from bidding.
    pub denied: bool,
    /// Amount available for bids.
    pub available: Amount,
    /// Amount held for leading and sealed bids.
    pub held: Amount,
    /// Amount paid for lots.
    pub paid: Amount,
    /// Deposits less withdrawals.
    pub deposited: Amount,
    /// Commands of the user that were decided.
    decided: u64,
    receipts: BTreeMap<CommandId, Kept>,
    /// Lots on which the user has an offer, and some on which the user had one.
    lots: BTreeSet<LotId>,
    touched: bool,
    /// Contribution of the account to the ledger's hash.
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

    /// Returns the kept receipts with the user's names of their commands.
    pub fn receipts(&self) -> impl Iterator<Item = (CommandId, &Kept)> {
        self.receipts.iter().map(|(id, kept)| (*id, kept))
    }

    /// Returns the lots on which the user has an offer, and some on which the user had one.
    pub fn lots(&self) -> &BTreeSet<LotId> {
        &self.lots
    }

    /// Returns whether available, held and paid amounts add up to the deposits.
    pub fn is_balanced(&self) -> bool {
        self.available.plus(self.held).plus(self.paid) == self.deposited
    }

    fn hash(&self, index: AccountIndex) -> u64 {
        let flags = u64::from(self.registered) | u64::from(self.denied) << 1;
        let moneys = [self.available, self.held, self.paid, self.deposited].map(|amount| amount.0);
        let [available, held, paid, deposited] = moneys;
        let whose = [u64::from(index.0), self.user.0, flags, self.decided];
        hash_words(&[
            whose[0], whose[1], whose[2], whose[3], available, held, paid, deposited,
        ])
    }
}

/// XXH3-64 over up to 16 numbers.
pub(super) fn hash_words(words: &[u64]) -> u64 {
    let mut bytes = [0; 128];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes[..words.len() * 8])
}

fn kept_hash(index: AccountIndex, id: CommandId, kept: &Kept) -> u64 {
    xxh3_64_with_seed(
        &bitcode::encode(kept),
        hash_words(&[u64::from(index.0), id.0]),
    )
}

/// The accounts of all users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ledger {
    accounts: Vec<Account>,
    by_user: BTreeMap<UserId, AccountIndex>,
    touched: Vec<AccountIndex>,
    /// Sum of the hashes of all accounts and receipts, updated incrementally.
    sum: u64,
    /// Receipts kept for all users (`kept`), and how many of them are kept for ever (`lasting`).
    kept: u64,
    lasting: u64,
}

impl Ledger {
    /// Returns all accounts, ordered by [`AccountIndex`].
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Returns the index of a user's account, or `None` if there is none.
    pub fn find(&self, user: UserId) -> Option<AccountIndex> {
        self.by_user.get(&user).copied()
    }

    /// Returns an account.
    ///
    /// # Panics
    ///
    /// If no account has this index.
    pub fn account(&self, index: AccountIndex) -> &Account {
        &self.accounts[index.0 as usize]
    }

    /// Returns the index of a user's account, which is created if there is none; `None` at
    /// [`ACCOUNTS`].
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

    /// Registers a user and adds an amount, possibly zero, to the account.
    pub fn deposit(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.registered = true;
        account.available = account.available.plus(amount);
        account.deposited = account.deposited.plus(amount);
    }

    /// Withdraws an available amount.
    ///
    /// # Errors
    ///
    /// [`Reject::Funds`] if less than that is available.
    pub fn withdraw(&mut self, index: AccountIndex, amount: Amount) -> Result<(), Reject> {
        self.require(index, amount)?;
        let account = self.touch(index);
        account.available = account.available.minus(amount);
        account.deposited = account.deposited.minus(amount);
        Ok(())
    }

    /// Bars a user from bidding, or lifts the bar.
    pub fn deny(&mut self, index: AccountIndex, denied: bool) {
        self.touch(index).denied = denied;
    }

    /// Checks that an amount is available.
    ///
    /// # Errors
    ///
    /// [`Reject::Funds`] if less than that is available.
    pub fn require(&self, index: AccountIndex, amount: Amount) -> Result<(), Reject> {
        if self.account(index).available < amount {
            Err(Reject::Funds)
        } else {
            Ok(())
        }
    }

    /// Holds an amount that [`Self::require`] found to be available.
    ///
    /// # Panics
    ///
    /// If less than that is available.
    pub fn hold(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.available = account.available.minus(amount);
        account.held = account.held.plus(amount);
    }

    /// Releases a held amount.
    ///
    /// # Panics
    ///
    /// If less than that is held.
    pub fn release(&mut self, index: AccountIndex, amount: Amount) {
        let account = self.touch(index);
        account.held = account.held.minus(amount);
        account.available = account.available.plus(amount);
    }

    /// Pays `price` out of the hold `held` and releases the rest of it.
    ///
    /// # Panics
    ///
    /// If `price` is above `held`, or less than `held` is held.
    pub fn settle(&mut self, index: AccountIndex, held: Amount, price: Amount) {
        self.release(index, held.minus(price));
        let account = self.touch(index);
        account.held = account.held.minus(price);
        account.paid = account.paid.plus(price);
    }

    /// Returns the kept receipt of a command.
    pub fn receipt(&self, index: AccountIndex, id: CommandId) -> Option<&Kept> {
        self.account(index).receipts.get(&id)
    }

    /// Returns whether one more receipt fits: [`RECEIPTS_PER_USER`], or [`RECEIPTS_PER_STRANGER`]
    /// for a user who is not registered.
    pub fn has_room(&self, index: AccountIndex) -> bool {
        let account = self.account(index);
        account.receipts.len()
            < if account.registered {
                RECEIPTS_PER_USER
            } else {
                RECEIPTS_PER_STRANGER
            }
    }

    /// Counts a command of the user and returns its number, from 1.
    pub fn next_number(&mut self, index: AccountIndex) -> u64 {
        let account = self.touch(index);
        account.decided += 1;
        account.decided
    }

    /// Returns the number of receipts kept for all users.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Returns whether one more receipt fits among those kept for ever ([`LASTING_RECEIPTS`]).
    pub(crate) fn has_room_for_ever(&self) -> bool {
        self.lasting < LASTING_RECEIPTS
    }

    /// Keeps a receipt for ever.
    pub(crate) fn keep_for_ever(&mut self, index: AccountIndex, id: CommandId, kept: Kept) {
        self.lasting += 1;
        self.keep(index, id, kept);
    }

    /// Records that the user has an offer on a lot.
    pub(crate) fn note_lot(&mut self, index: AccountIndex, lot: LotId) {
        self.accounts[index.0 as usize].lots.insert(lot);
    }

    /// Removes a lot from the user's lots: it was removed from the house, or the user's offer was
    /// retracted.
    pub(crate) fn forget_lot(&mut self, index: AccountIndex, lot: LotId) {
        self.accounts[index.0 as usize].lots.remove(&lot);
    }

    /// Keeps a receipt.
    pub fn keep(&mut self, index: AccountIndex, id: CommandId, kept: Kept) {
        self.kept += 1;
        self.sum = self.sum.wrapping_add(kept_hash(index, id, &kept));
        self.accounts[index.0 as usize].receipts.insert(id, kept);
    }

    /// Removes the receipt of a command, if it is kept.
    pub fn forget(&mut self, index: AccountIndex, id: CommandId) {
        if let Some(kept) = self.accounts[index.0 as usize].receipts.remove(&id) {
            self.kept -= 1;
            self.sum = self.sum.wrapping_sub(kept_hash(index, id, &kept));
        }
    }

    /// Returns a hash of all accounts and receipts, updated incrementally.
    pub fn hash(&mut self) -> u64 {
        for index in std::mem::take(&mut self.touched) {
            let account = &mut self.accounts[index.0 as usize];
            let part = account.hash(index);
            self.sum = self.sum.wrapping_add(part).wrapping_sub(account.part);
            (account.touched, account.part) = (false, part);
        }
        self.sum
    }

    /// Computes the hash from all accounts and receipts. It must equal [`Self::hash`].
    pub fn hash_anew(&self) -> u64 {
        let parts = (0..)
            .map(AccountIndex)
            .zip(&self.accounts)
            .map(|(index, account)| {
                let receipts = account
                    .receipts()
                    .map(|(id, kept)| kept_hash(index, id, kept));
                receipts.fold(account.hash(index), u64::wrapping_add)
            });
        parts.fold(0, u64::wrapping_add)
    }
}
