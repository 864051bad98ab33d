//! Queue of one client's commands, each for a slot of the timeline. A command is executed at most
//! once, and commands are executed in order.
//!
//! | a command that is | is |
//! |---|---|
//! | for a slot at most [`COMMAND_TIME_AHEAD`] after arrival | kept; the first body wins |
//! | further ahead | rejected |
//! | present already, same body | counted as duplicate (redundant sending makes many) |
//! | present already, other body | rejected |
//! | for a slot that passed without it | counted as late, once |
//! | for a slot over [`COMMAND_TIME_BEHIND`] ago | counted as late, each copy |
//! | missing at its slot's tick | counted; the last one is repeated, later the neutral one |
//! | for a slot that the server skipped | void: no tick takes it |

use std::collections::VecDeque;
use std::time::Duration;

use derive_more::Add;
use truetick_netcode::command::Command;
use truetick_netcode::limits::{COMMAND_TIME_AHEAD, COMMAND_TIME_BEHIND, LATE_COMMANDS};
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

/// Counts of a client's commands by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Add)]
pub struct CommandCounts {
    /// Commands that are new and in time.
    pub received: u64,
    /// Commands that arrived after the drain of their tick.
    pub late: u64,
    /// Commands that were missing at the drain of their tick.
    pub missing: u64,
    /// Commands that arrived again with the same body.
    pub duplicate: u64,
    /// Commands that were too far ahead, or had another body than before.
    pub rejected: u64,
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
pub(crate) struct DequeuedCommand<C> {
    /// The command to execute.
    pub command: C,
    /// Arrival of the command; `None` if it was missing.
    pub arrived: Option<Timestamp>,
}

/// The next slots when a command arrives. They differ while the server is stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextSlots {
    /// Slot of the tick to be simulated next.
    pub simulated: Tick,
    /// Slot that was due next at the command's arrival.
    pub due: Tick,
}

/// Queue of one client's commands, by slot.
#[derive(Debug)]
pub(crate) struct CommandQueue<C> {
    places: Vec<Option<(Tick, Place<C>)>>,
    /// Number of slots before and after the next one for which commands are kept apart.
    behind: i32,
    ahead: i32,
    last: C,
    /// Number of commands missing in a row.
    missing: u32,
    /// Slot of the first command that arrived. Commands count as missing only after it.
    first: Option<Tick>,
    /// Whether a slot after `first` has passed. Kept because ticks wrap.
    counts_missing: bool,
    /// The newest commands that arrived too late since they were last taken, with their arrivals.
    lates: VecDeque<(Tick, Timestamp)>,
    counts: CommandCounts,
}

impl<C: Command> CommandQueue<C> {
    /// Creates an empty queue for a room with `tick_rate` ticks per second.
    pub fn new(tick_rate: u32) -> Self {
        let slots = |time: Duration| (time.as_millis() as u32 * tick_rate).div_ceil(1_000);
        let (behind, ahead) = (slots(COMMAND_TIME_BEHIND), slots(COMMAND_TIME_AHEAD));
        Self {
            // Slots wrap at a power of two, so the number of places must be a power of two.
            places: vec![None; (behind + ahead + 1).next_power_of_two() as usize],
            behind: behind as i32,
            ahead: ahead as i32,
            last: C::default(),
            missing: 0,
            first: None,
            counts_missing: false,
            lates: VecDeque::with_capacity(LATE_COMMANDS),
            counts: CommandCounts::default(),
        }
    }

    /// Counts of the commands so far.
    pub fn counts(&self) -> CommandCounts {
        self.counts
    }

    fn place(&mut self, slot: Tick) -> &mut Option<(Tick, Place<C>)> {
        let places = self.places.len();
        &mut self.places[slot.0 as usize % places]
    }

    /// Adds a command for `slot` that was received at `arrived`.
    pub fn push(&mut self, slot: Tick, command: C, arrived: Timestamp, at: NextSlots) {
        let NextSlots {
            simulated: next,
            due,
        } = at;
        let ahead = slot.distance(next);
        if slot.distance(next.later(due)) > self.ahead {
            self.counts.rejected += 1;
            return;
        }
        if ahead < -self.behind {
            self.counts.late += 1;
            return;
        }
        let place = self.place(slot);
        match place
            .as_ref()
            .filter(|(at, _)| *at == slot)
            .map(|(_, place)| place)
        {
            Some(Place::Waiting(before, _) | Place::Executed(before)) if *before != command => {
                self.counts.rejected += 1;
            }
            Some(Place::Executed(_)) if is_planted(Mutant::ApplyTwice) => {
                *self.place(next) = Some((next, Place::Waiting(command, arrived)));
            }
            Some(Place::Waiting(..) | Place::Executed(_) | Place::Late) => {
                self.counts.duplicate += 1
            }
            None | Some(Place::Missed) if ahead < 0 => {
                *place = Some((slot, Place::Late));
                self.counts.late += 1;
                if self.lates.len() == LATE_COMMANDS {
                    self.lates.pop_front();
                }
                self.lates.push_back((slot, arrived));
            }
            None | Some(Place::Missed) => {
                *place = Some((slot, Place::Waiting(command, arrived)));
                self.counts.received += 1;
                self.first.get_or_insert(slot);
            }
        }
    }

    /// Takes the command to execute in `slot`, whose tick is simulated now. If it is missing, the
    /// last one is repeated for up to `repeat` slots, then the neutral one is used.
    pub fn take(&mut self, slot: Tick, repeat: u32) -> DequeuedCommand<C> {
        let place = self.place(slot);
        match place.take() {
            Some((at, Place::Waiting(command, arrived))) if at == slot => {
                *place = Some((slot, Place::Executed(command.clone())));
                self.last = command.clone();
                self.missing = 0;
                DequeuedCommand {
                    command,
                    arrived: Some(arrived),
                }
            }
            _ => {
                *place = Some((slot, Place::Missed));
                if self.first.is_some_and(|first| slot.is_after(first)) {
                    self.counts_missing = true;
                }
                self.counts.missing += u64::from(self.counts_missing);
                self.missing = self.missing.saturating_add(1);
                let command = if self.missing <= repeat {
                    self.last.clone()
                } else {
                    C::default()
                };
                DequeuedCommand {
                    command,
                    arrived: None,
                }
            }
        }
    }

    /// Takes the commands that arrived too late since the last call, in the order of their arrival,
    /// as slot and arrival; at most [`LATE_COMMANDS`].
    pub(crate) fn take_lates(&mut self) -> impl Iterator<Item = (Tick, Timestamp)> {
        self.lates.drain(..)
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
    const REPEAT: u32 = 9;

    /// The next slots of a server that is not stalled.
    fn next_slot(slot: Tick) -> NextSlots {
        NextSlots {
            simulated: slot,
            due: slot,
        }
    }

    fn queue_with(commands: &[(u32, u8)], next: u32) -> CommandQueue<Press> {
        let mut queue = CommandQueue::new(60);
        for (tick, press) in commands {
            queue.push(Tick(*tick), Press(*press), NOW, next_slot(Tick(next)));
        }
        queue
    }

    #[test]
    fn commands_are_executed_in_tick_order_whatever_their_arrival() {
        let mut queue = queue_with(&[(12, 3), (10, 1), (11, 2), (10, 1)], 10);
        let run: Vec<u8> = (10..13)
            .map(|tick| queue.take(Tick(tick), REPEAT).command.0)
            .collect();
        assert_eq!(run, [1, 2, 3]);
        assert_eq!(
            queue.counts(),
            CommandCounts {
                received: 3,
                duplicate: 1,
                ..CommandCounts::default()
            }
        );
    }

    #[test]
    fn a_missing_command_repeats_the_last_and_counts_late_when_it_comes() {
        let mut queue = queue_with(&[(10, 7)], 10);
        queue.take(Tick(10), REPEAT);
        assert_eq!(
            queue.take(Tick(11), REPEAT),
            DequeuedCommand {
                command: Press(7),
                arrived: None
            }
        );
        queue.push(Tick(11), Press(8), NOW, next_slot(Tick(12)));
        queue.push(Tick(11), Press(8), NOW, next_slot(Tick(12)));
        assert_eq!(queue.take_lates().collect::<Vec<_>>(), [(Tick(11), NOW)]);
        assert_eq!(queue.take(Tick(12), REPEAT).command, Press(7));
        let counts = queue.counts();
        assert_eq!((counts.missing, counts.late, counts.duplicate), (2, 1, 1));
    }

    #[test]
    fn before_the_first_command_nothing_is_missing() {
        let mut queue = CommandQueue::<Press>::new(60);
        assert_eq!(queue.take(Tick(1), REPEAT).command, Press(0));
        assert_eq!(queue.counts().missing, 0);
    }

    #[test]
    fn line_36_a_command_too_far_ahead_is_rejected_from_the_very_edge_on() {
        let ahead = 120;
        let queue = queue_with(&[(100 + ahead, 1)], 100);
        assert_eq!((queue.counts().received, queue.counts().rejected), (1, 0));
        let queue = queue_with(&[(101 + ahead, 1)], 100);
        assert_eq!((queue.counts().received, queue.counts().rejected), (0, 1));
    }

    #[test]
    fn line_37_a_command_far_behind_is_counted_and_ignored() {
        let mut queue = queue_with(&[(10, 1)], 100);
        assert_eq!((queue.counts().late, queue.take_lates().count()), (1, 0));
        assert_eq!(queue.take(Tick(100), REPEAT).command, Press(0));
    }

    #[test]
    fn line_38_slots_wrap() {
        let mut queue = CommandQueue::<Press>::new(60);
        let slot = |n: u32| Tick(u32::MAX - 3) + n;
        (0..8).for_each(|n| queue.push(slot(n), Press(n as u8 + 1), NOW, next_slot(slot(0))));
        let run: Vec<u8> = (0..8)
            .map(|n| queue.take(slot(n), REPEAT).command.0)
            .collect();
        assert_eq!(run, [1, 2, 3, 4, 5, 6, 7, 8]);
        queue.push(slot(2), Press(9), NOW, next_slot(slot(8)));
        assert_eq!((queue.counts().received, queue.counts().rejected), (8, 1));
    }

    #[test]
    fn line_39_the_first_body_wins() {
        let mut queue = queue_with(&[(10, 1), (10, 2)], 10);
        assert_eq!(queue.take(Tick(10), REPEAT).command, Press(1));
        assert_eq!(queue.counts().rejected, 1);
        queue.push(Tick(10), Press(2), NOW, next_slot(Tick(11)));
        assert_eq!(queue.counts().rejected, 2);
    }

    #[test]
    fn line_40_a_flood_executes_one_command_per_tick() {
        let mut queue = CommandQueue::<Press>::new(60);
        for tick in 0..600u32 {
            for i in 0..10 {
                queue.push(Tick(tick + i), Press(i as u8), NOW, next_slot(Tick(tick)));
            }
            queue.take(Tick(tick), REPEAT);
        }
        assert!(queue.counts().received <= 600 + 16);
    }

    #[test]
    fn a_missing_command_is_repeated_for_a_while_then_neutral() {
        let mut queue = queue_with(&[(10, 7)], 10);
        let run: Vec<u8> = (10..30)
            .map(|slot| queue.take(Tick(slot), REPEAT).command.0)
            .collect();
        assert_eq!(run, [vec![7; 10], vec![0; 10]].concat());
    }

    #[test]
    fn what_comes_while_the_server_stands_still_is_judged_by_the_slot_that_is_due() {
        let mut queue = CommandQueue::<Press>::new(60);
        queue.push(
            Tick(400),
            Press(1),
            NOW,
            NextSlots {
                simulated: Tick(100),
                due: Tick(395),
            },
        );
        queue.push(
            Tick(600),
            Press(1),
            NOW,
            NextSlots {
                simulated: Tick(100),
                due: Tick(395),
            },
        );
        assert_eq!((queue.counts().received, queue.counts().rejected), (1, 1));
    }

    #[test]
    fn of_many_late_commands_the_newest_are_told() {
        let mut queue = queue_with(&[], 100);
        (50..60).for_each(|slot| queue.push(Tick(slot), Press(1), NOW, next_slot(Tick(100))));
        let told: Vec<u32> = queue.take_lates().map(|(slot, _)| slot.0).collect();
        assert_eq!(told, [56, 57, 58, 59]);
    }
}
