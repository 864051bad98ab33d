//! The entries of a house's journal, and the state that follows from them.

use bitcode::{Decode, Encode};
use truetick_auction::house::{House, HouseRules, Output, RULES};
use truetick_auction::order::{ClockOrder, Order};
use truetick_auction::public_book::PublicBook;

use crate::journal::{Entries, Replica};

/// One entry of a house's journal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// First entry of a house under version 1 of the rules. This build does not support it and
    /// refuses such a journal.
    FoundedBefore {
        /// Rules of the house.
        rules: HouseRules,
        /// Ticks per second.
        tick_rate: u32,
    },
    /// A server has begun to run the house.
    Opened {
        /// Number of this opening, from 1.
        epoch: u32,
    },
    /// A tick, or more orders of the last one. Ticks in which nothing happened may be omitted.
    Tick(TickRecord),
    /// First entry: the house is founded.
    Founded {
        /// Version of the auction's rules: [`RULES`].
        version: u32,
        /// Rules of the house.
        rules: HouseRules,
        /// Ticks per second.
        tick_rate: u32,
    },
}

/// A tick with everything that decided it and its result, or more orders of a tick that has more
/// than one entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TickRecord {
    /// Number of the tick.
    pub tick: u64,
    /// Change of the auction's clock, if any.
    pub clock: Option<ClockOrder>,
    /// The orders in their sequence.
    pub orders: Vec<Order>,
    /// The tick decides the orders of the milliseconds before this one, and no other tick does. A
    /// lot that closes at a later tick closes after all of them.
    pub before_ms: u64,
    /// Number of commands decided so far.
    pub decided: u64,
    /// Hash of the house after the tick.
    pub hash: u64,
}

impl Entry {
    /// The entry in bytes.
    pub fn bytes(&self) -> Vec<u8> {
        bitcode::encode(self)
    }
}

#[derive(Clone, Debug, Encode, Decode)]
struct State {
    version: u32,
    tick_rate: u32,
    epoch: u32,
    /// Time of the last order, in milliseconds.
    last_ms: u64,
    /// The orders of the milliseconds before this one are decided.
    closed_ms: u64,
    house: House,
}

/// A house that follows from its journal.
#[derive(Clone, Debug, Default)]
pub struct HouseReplica {
    state: Option<State>,
    public_book: PublicBook,
    out: Output,
}

impl HouseReplica {
    /// Creates a replica in the state before the first entry, from which snapshots are made.
    pub fn fresh() -> Box<dyn Replica> {
        Box::new(Self::default())
    }

    /// The house; `None` before it is founded.
    pub fn house(&self) -> Option<&House> {
        self.state.as_ref().map(|state| &state.house)
    }

    /// Number of times that the house was opened.
    pub fn epoch(&self) -> u32 {
        self.state.as_ref().map_or(0, |state| state.epoch)
    }

    /// Ticks per second; `None` before the house is founded.
    pub fn tick_rate(&self) -> Option<u32> {
        self.state.as_ref().map(|state| state.tick_rate)
    }

    /// Time of the last order in milliseconds, or the millisecond before which all orders are
    /// decided if that is later.
    pub(crate) fn last_ms(&self) -> u64 {
        self.state
            .as_ref()
            .map_or(0, |state| state.last_ms.max(state.closed_ms))
    }

    /// The public state of the lots.
    pub fn public_book(&self) -> &PublicBook {
        &self.public_book
    }

    /// Output of the last entry.
    pub(crate) fn last_output(&self) -> &Output {
        &self.out
    }

    /// The house and its public book; `None` before the house is founded.
    pub(crate) fn into_parts(self) -> Option<(House, PublicBook)> {
        Some((self.state?.house, self.public_book))
    }

    /// Applies the next entry.
    ///
    /// # Errors
    /// The reason, if the entry does not follow the last one, leads to another state than recorded,
    /// or belongs to other rules.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        self.out = Output::default();
        match (entry, &mut self.state) {
            (Entry::FoundedBefore { .. }, _) => Err(other_rules(1)),
            (Entry::Founded { version, .. }, _) if *version != RULES => Err(other_rules(*version)),
            (
                Entry::Founded {
                    version,
                    rules,
                    tick_rate,
                },
                None,
            ) => {
                let (version, house) = (*version, House::new(rules.clone()));
                self.state = Some(State {
                    version,
                    tick_rate: *tick_rate,
                    epoch: 0,
                    last_ms: 0,
                    closed_ms: 0,
                    house,
                });
                Ok(())
            }
            (Entry::Founded { .. }, Some(_)) => Err("it is founded twice".into()),
            (_, None) => Err("it was never founded".into()),
            (Entry::Opened { epoch }, Some(state)) if *epoch == state.epoch + 1 => {
                state.epoch = *epoch;
                Ok(())
            }
            (Entry::Opened { epoch }, Some(state)) => {
                Err(format!("opening {epoch} follows opening {}", state.epoch))
            }
            (Entry::Tick(record), Some(state)) => {
                take_tick(state, record, &mut self.out)?;
                self.out
                    .events
                    .iter()
                    .for_each(|event| self.public_book.apply(event.clone()));
                self.out
                    .forgotten
                    .iter()
                    .for_each(|lot| self.public_book.forget(*lot));
                Ok(())
            }
        }
    }
}

fn other_rules(version: u32) -> String {
    format!(
        "the house was founded under version {version} of the auction's rules, and this build keeps version {RULES}: \
         let the build that wrote it close its lots, then found another house in another folder"
    )
}

fn take_tick(state: &mut State, record: &TickRecord, out: &mut Output) -> Result<(), String> {
    let TickRecord {
        tick,
        clock,
        orders,
        before_ms,
        decided,
        hash,
    } = record;
    let house = &mut state.house;
    let goes_on = *tick == house.tick() && clock.is_none() && !orders.is_empty();
    if *tick <= house.tick() && !goes_on {
        return Err(format!("tick {tick} follows tick {}", house.tick()));
    }
    for order in orders {
        if order.at_ms < state.last_ms {
            return Err(format!(
                "an order of {} ms follows one of {} ms",
                order.at_ms, state.last_ms
            ));
        }
        state.last_ms = order.at_ms;
    }
    if goes_on {
        house.step_on(orders, out);
    } else {
        house.step(*tick, *clock, orders, out);
    }
    state.closed_ms = state.closed_ms.max(*before_ms);
    match (house.hash(), house.decided()) {
        (now, count) if now == *hash && count == *decided => Ok(()),
        (now, count) => Err(format!(
            "tick {tick} leads to state {now:016x} with {count} commands decided, but led to {hash:016x} with {decided}: \
             another build wrote it, or the state was damaged in memory"
        )),
    }
}

impl Entries for HouseReplica {
    fn entry(&mut self, entry: &[u8]) -> Result<(), String> {
        let entry =
            bitcode::decode(entry).map_err(|_| "it cannot be decoded: another version wrote it")?;
        self.apply(&entry)
    }
}

impl Replica for HouseReplica {
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let state: Option<State> = bitcode::decode(state)
            .map_err(|_| "the snapshot is of another version of the auction's rules")?;
        let Some(mut state) = state else {
            return Ok(());
        };
        if state.version != RULES {
            return Err(other_rules(state.version));
        }
        if state.house.hash() != state.house.hash_anew() {
            return Err("the snapshot's state does not match its own hash".into());
        }
        self.public_book = PublicBook::of(&state.house);
        self.state = Some(state);
        Ok(())
    }

    fn snapshot(&mut self) -> Vec<u8> {
        bitcode::encode(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_auction::money::Currency;
    use truetick_netcode::session::UserId;

    /// Entries as written by builds with version 1 of the rules.
    #[derive(Encode)]
    #[expect(dead_code, reason = "their number is part of the bytes")]
    enum Version1 {
        Founded { rules: HouseRules, tick_rate: u32 },
        Opened { epoch: u32 },
        Tick(Vec<u8>),
    }

    fn rules() -> HouseRules {
        HouseRules {
            currency: Currency::EUR,
            admins: vec![UserId(1)],
            retention: 86_400 * 60,
        }
    }

    #[test]
    fn a_journal_of_other_rules_is_refused_by_their_version() {
        let old = bitcode::encode(&Version1::Founded {
            rules: rules(),
            tick_rate: 60,
        });
        let newer = Entry::Founded {
            version: RULES + 1,
            rules: rules(),
            tick_rate: 60,
        }
        .bytes();
        for (bytes, version) in [(old, 1), (newer, RULES + 1)] {
            let refused = HouseReplica::default().entry(&bytes).unwrap_err();
            assert!(
                refused.contains(&format!("under version {version} of the auction's rules")),
                "{refused}"
            );
        }
        let founded = Entry::Founded {
            version: RULES,
            rules: rules(),
            tick_rate: 60,
        };
        let mut replica = HouseReplica::default();
        assert_eq!(
            (replica.entry(&founded.bytes()), replica.tick_rate()),
            (Ok(()), Some(60))
        );
    }
}
