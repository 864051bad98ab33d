//! What the journal of a house holds, and the state that follows from it.

use bitcode::{Decode, Encode};
use truetick_shared::auction::house::{House, HouseRules, Output, RULES};
use truetick_shared::auction::order::{ClockOrder, Order};
use truetick_shared::auction::public_book::PublicBook;

use crate::journal::{Entries, Replica};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// The first of a house under the rules of version 1, which this build does not keep: such a
    /// journal is refused.
    FoundedBefore {
        /// What it goes by.
        rules: HouseRules,
        /// Ticks per second.
        tick_rate: u32,
    },
    /// A server has begun to run it.
    Opened {
        /// The how manieth time.
        epoch: u32,
    },
    /// A tick, or more orders of the last one. Ticks in which nothing happened may be left out.
    Tick(TickRecord),
    /// The first: the house is founded.
    Founded {
        /// Version of the rules by which it decides: [`RULES`].
        version: u32,
        /// What it goes by.
        rules: HouseRules,
        /// Ticks per second.
        tick_rate: u32,
    },
}

/// A tick with all that decided it, and what came of it; or more of the orders of a tick that had
/// more than one entry takes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TickRecord {
    /// Which.
    pub tick: u64,
    /// What was done to the clock.
    pub clock: Option<ClockOrder>,
    /// The orders, in their order.
    pub orders: Vec<Order>,
    /// The tick decides the orders of milliseconds before this, and no other tick does: a lot that
    /// closes at a later tick closes after all of them.
    pub before_ms: u64,
    /// Commands decided so far.
    pub decided: u64,
    /// Hash of the house after it.
    pub hash: u64,
}

impl Entry {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        bitcode::encode(self)
    }
}

#[derive(Clone, Debug, Encode, Decode)]
struct State {
    version: u32,
    tick_rate: u32,
    epoch: u32,
    /// Time of the last order.
    last_ms: u64,
    /// Milliseconds before this were decided.
    closed_ms: u64,
    house: House,
}

/// A house as its journal tells it.
#[derive(Clone, Debug, Default)]
pub struct HouseReplica {
    state: Option<State>,
    public_book: PublicBook,
    out: Output,
}

impl HouseReplica {
    /// One of before the first entry, for the making of snapshots.
    pub fn fresh() -> Box<dyn Replica> {
        Box::new(Self::default())
    }

    /// The house, once it is founded.
    pub fn house(&self) -> Option<&House> {
        self.state.as_ref().map(|state| &state.house)
    }

    /// How often it was opened.
    pub fn epoch(&self) -> u32 {
        self.state.as_ref().map_or(0, |state| state.epoch)
    }

    /// Ticks per second, once it is founded.
    pub fn tick_rate(&self) -> Option<u32> {
        self.state.as_ref().map(|state| state.tick_rate)
    }

    /// The last order's time, or up to when all were decided if that is later.
    pub fn last_ms(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.last_ms.max(state.closed_ms))
    }

    /// What everyone may know.
    pub fn public_book(&self) -> &PublicBook {
        &self.public_book
    }

    /// What the last entry led to.
    pub fn last_output(&self) -> &Output {
        &self.out
    }

    /// The house and its board.
    pub fn into_parts(self) -> Option<(House, PublicBook)> {
        Some((self.state?.house, self.public_book))
    }

    /// Takes the next entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        self.out = Output::default();
        match (entry, &mut self.state) {
            (Entry::FoundedBefore { .. }, _) => Err(other_rules(1)),
            (Entry::Founded { version, .. }, _) if *version != RULES => Err(other_rules(*version)),
            (Entry::Founded { version, rules, tick_rate }, None) => {
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
                self.out.events.iter().for_each(|event| self.public_book.apply(event.clone()));
                self.out.forgotten.iter().for_each(|lot| self.public_book.forget(*lot));
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
    let TickRecord { tick, clock, orders, before_ms, decided, hash } = record;
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
    use truetick_netcode::session::UserId;
    use truetick_shared::auction::money::Currency;

    /// Entries as builds wrote them whose rules were of version 1.
    #[derive(Encode)]
    #[expect(dead_code, reason = "their number is part of the bytes")]
    enum Version1 {
        Founded { rules: HouseRules, tick_rate: u32 },
        Opened { epoch: u32 },
        Tick(Vec<u8>),
    }

    fn rules() -> HouseRules {
        HouseRules { currency: Currency::EUR, admins: vec![UserId(1)], retention: 86_400 * 60 }
    }

    #[test]
    fn a_journal_of_other_rules_is_refused_by_their_version() {
        let old = bitcode::encode(&Version1::Founded { rules: rules(), tick_rate: 60 });
        let newer = Entry::Founded { version: RULES + 1, rules: rules(), tick_rate: 60 }.bytes();
        for (bytes, version) in [(old, 1), (newer, RULES + 1)] {
            let refused = HouseReplica::default().entry(&bytes).unwrap_err();
            assert!(
                refused.contains(&format!("under version {version} of the auction's rules")),
                "{refused}"
            );
        }
        let founded = Entry::Founded { version: RULES, rules: rules(), tick_rate: 60 };
        let mut replica = HouseReplica::default();
        assert_eq!((replica.entry(&founded.bytes()), replica.tick_rate()), (Ok(()), Some(60)));
    }
}
