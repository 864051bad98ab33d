//! One client's commands, waiting for their ticks: executed at most once and in tick order.
//!
//! | a command that is | gets |
//! |---|---|
//! | for a tick to come, up to [`COMMAND_TICKS_AHEAD`] | kept; the first body for a tick wins |
//! | further ahead | rejected |
//! | there already, same body | counted as duplicate (redundant sending makes many) |
//! | there already, other body | rejected |
//! | for a tick already simulated without it | counted as late, once (beyond [`COMMAND_TICKS_BEHIND`] each copy) |
//! | missing when its tick is simulated | the last one repeated, counted as missing |

use std::ops::Add;

use truetick_netcode::command::Command;
use truetick_netcode::limits::{COMMAND_TICKS_AHEAD, COMMAND_TICKS_BEHIND};
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

const PLACES: usize = 256;
const _: () = assert!(COMMAND_TICKS_AHEAD + COMMAND_TICKS_BEHIND < PLACES as i32);

/// Commands counted by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandCounts {
    /// New and in time.
    pub received: u64,
    /// Came after their tick's drain.
    pub late: u64,
    /// Were not there at their tick's drain.
    pub missing: u64,
    /// Came again.
    pub duplicate: u64,
    /// Too far ahead, or with another body than before.
    pub rejected: u64,
}

impl Add for CommandCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            late: self.late + other.late,
            missing: self.missing + other.missing,
            duplicate: self.duplicate + other.duplicate,
            rejected: self.rejected + other.rejected,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Place<C> {
    Waiting(C, Timestamp),
    Executed(C),
    Missed,
    Late,
}

/// The command for a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken<C> {
    /// What to execute.
    pub command: C,
    /// When it came; `None` if it was missing.
    pub arrived: Option<Timestamp>,
}

/// One client's queue.
#[derive(Debug)]
pub struct CommandQueue<C> {
    places: Vec<Option<(Tick, Place<C>)>>,
    last: C,
    /// The tick of the first command that came: from then on absence counts as missing.
    first: Option<Tick>,
    /// A tick after that was simulated: ticks wrap, so this is asked once.
    counts_missing: bool,
    /// Latest command that came too late since it was asked for.
    latest: Option<(Tick, Timestamp)>,
    counts: CommandCounts,
}

impl<C: Command> Default for CommandQueue<C> {
    fn default() -> Self {
        Self {
            places: vec![None; PLACES],
            last: C::default(),
            first: None,
            counts_missing: false,
            latest: None,
            counts: CommandCounts::default(),
        }
    }
}

impl<C: Command> CommandQueue<C> {
    /// Counts so far.
    pub fn counts(&self) -> CommandCounts {
        self.counts
    }

    /// Takes in a command for `tick` while `next` is the tick to be simulated next.
    pub fn push(&mut self, tick: Tick, command: C, arrived: Timestamp, next: Tick) {
        let ahead = tick.distance(next);
        if ahead > COMMAND_TICKS_AHEAD {
            self.counts.rejected += 1;
            return;
        }
        if ahead < -COMMAND_TICKS_BEHIND {
            self.counts.late += 1;
            return;
        }
        let place = &mut self.places[tick.0 as usize % PLACES];
        match place.as_ref().filter(|(at, _)| *at == tick).map(|(_, place)| place) {
            Some(Place::Waiting(before, _) | Place::Executed(before)) if *before != command => {
                self.counts.rejected += 1;
            }
            Some(Place::Executed(_)) if is_planted(Mutant::ApplyTwice) => {
                self.places[next.0 as usize % PLACES] = Some((next, Place::Waiting(command, arrived)));
            }
            Some(Place::Waiting(..) | Place::Executed(_) | Place::Late) => self.counts.duplicate += 1,
            None | Some(Place::Missed) if ahead < 0 => {
                *place = Some((tick, Place::Late));
                self.counts.late += 1;
                if self.latest.is_none_or(|(_, before)| arrived > before) {
                    self.latest = Some((tick, arrived));
                }
            }
            None | Some(Place::Missed) => {
                *place = Some((tick, Place::Waiting(command, arrived)));
                self.counts.received += 1;
                self.first.get_or_insert(tick);
            }
        }
    }

    /// The command to execute for `tick`, which is simulated now.
    pub fn take(&mut self, tick: Tick) -> Taken<C> {
        let place = &mut self.places[tick.0 as usize % PLACES];
        match place.take() {
            Some((at, Place::Waiting(command, arrived))) if at == tick => {
                *place = Some((tick, Place::Executed(command.clone())));
                self.last = command.clone();
                Taken { command, arrived: Some(arrived) }
            }
            _ => {
                *place = Some((tick, Place::Missed));
                if self.first.is_some_and(|first| tick.is_after(first)) {
                    self.counts_missing = true;
                }
                self.counts.missing += u64::from(self.counts_missing);
                Taken { command: self.last.clone(), arrived: None }
            }
        }
    }

    /// The latest command that came too late since the last call: its tick and arrival.
    pub fn take_latest(&mut self) -> Option<(Tick, Timestamp)> {
        self.latest.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_netcode::bits::{BitReader, BitWriter};
    use truetick_netcode::error::WireError;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Press(u8);

    impl Command for Press {
        fn write(&self, _: &mut BitWriter) {}
        fn read(_: &mut BitReader<'_>) -> Result<Self, WireError> {
            Ok(Self(0))
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(5);

    fn queue_with(commands: &[(u32, u8)], next: u32) -> CommandQueue<Press> {
        let mut queue = CommandQueue::default();
        for (tick, press) in commands {
            queue.push(Tick(*tick), Press(*press), NOW, Tick(next));
        }
        queue
    }

    #[test]
    fn commands_are_executed_in_tick_order_whatever_their_arrival() {
        let mut queue = queue_with(&[(12, 3), (10, 1), (11, 2), (10, 1)], 10);
        let run: Vec<u8> = (10..13).map(|tick| queue.take(Tick(tick)).command.0).collect();
        assert_eq!(run, [1, 2, 3]);
        assert_eq!(queue.counts(), CommandCounts { received: 3, duplicate: 1, ..CommandCounts::default() });
    }

    #[test]
    fn a_missing_command_repeats_the_last_and_counts_late_when_it_comes() {
        let mut queue = queue_with(&[(10, 7)], 10);
        queue.take(Tick(10));
        assert_eq!(queue.take(Tick(11)), Taken { command: Press(7), arrived: None });
        queue.push(Tick(11), Press(8), NOW, Tick(12));
        queue.push(Tick(11), Press(8), NOW, Tick(12));
        assert_eq!(queue.take_latest(), Some((Tick(11), NOW)));
        assert_eq!(queue.take(Tick(12)).command, Press(7));
        let counts = queue.counts();
        assert_eq!((counts.missing, counts.late, counts.duplicate), (2, 1, 1));
    }

    #[test]
    fn before_the_first_command_nothing_is_missing() {
        let mut queue = CommandQueue::<Press>::default();
        assert_eq!(queue.take(Tick(1)).command, Press(0));
        assert_eq!(queue.counts().missing, 0);
    }

    #[test]
    fn limits_hold_on_their_very_edge() {
        let ahead = COMMAND_TICKS_AHEAD as u32;
        let queue = queue_with(&[(100 + ahead, 1)], 100);
        assert_eq!((queue.counts().received, queue.counts().rejected), (1, 0));
        let queue = queue_with(&[(101 + ahead, 1)], 100);
        assert_eq!((queue.counts().received, queue.counts().rejected), (0, 1));
        let mut queue = queue_with(&[(10, 1)], 100);
        assert_eq!((queue.counts().late, queue.take_latest()), (1, None));
    }

    #[test]
    fn the_first_body_wins() {
        let mut queue = queue_with(&[(10, 1), (10, 2)], 10);
        assert_eq!(queue.take(Tick(10)).command, Press(1));
        assert_eq!(queue.counts().rejected, 1);
        queue.push(Tick(10), Press(2), NOW, Tick(11));
        assert_eq!(queue.counts().rejected, 2);
    }

    #[test]
    fn a_flood_executes_one_command_per_tick() {
        let mut queue = CommandQueue::<Press>::default();
        for tick in 0..600u32 {
            for i in 0..10 {
                queue.push(Tick(tick + i), Press(i as u8), NOW, Tick(tick));
            }
            queue.take(Tick(tick));
        }
        assert!(queue.counts().received <= 600 + 16);
    }
}
