//! Orders commands by receive time in milliseconds, user and sequence. A tick gets those of
//! finished milliseconds only, so that commands of one millisecond are compared with each other
//! even across a tick's border.

use std::collections::BTreeMap;

use truetick_auction::limits::{ORDER_BYTES_PER_TICK, ORDERS_PER_TICK, WAITING};
use truetick_auction::order::{Command, CommandId, Order};
use truetick_netcode::session::{ClientId, UserId};

/// A command that a client submits.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The client, which receives the answer.
    pub client: ClientId,
    /// The user that the client acts for.
    pub user: UserId,
    /// Number that the user gave the command.
    pub id: CommandId,
    /// The command itself: a bid or an administrator's command.
    pub command: Command,
}

/// Queue that orders commands by receive time in milliseconds, user and sequence.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    /// The waiting commands by (receive time, user, sequence), which is the order of their release.
    waiting: BTreeMap<(u64, UserId, u64), (CommandId, Command, ClientId)>,
    /// Number of commands so far. It is the sequence that keeps each client's commands in order.
    arrivals: u64,
    /// No new command is placed in a millisecond before this one.
    floor_ms: u64,
}

impl Sequencer {
    /// Creates a sequencer that continues after orders up to this time.
    pub fn after(last_ms: u64) -> Self {
        Self {
            floor_ms: last_ms,
            ..Self::default()
        }
    }

    /// Number of commands that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a command that was received at `at_ms`. Its time is raised to the first open
    /// millisecond and to `no_earlier_ms`, the time of the client's last command. Returns the
    /// resulting time, or `None` if the queue is full.
    pub(crate) fn enqueue(
        &mut self,
        submission: Submission,
        at_ms: u64,
        no_earlier_ms: u64,
    ) -> Option<u64> {
        if self.waiting.len() >= WAITING {
            return None;
        }
        let Submission {
            client,
            user,
            id,
            command,
        } = submission;
        let at_ms = at_ms.max(no_earlier_ms).max(self.floor_ms);
        self.arrivals += 1;
        self.waiting
            .insert((at_ms, user, self.arrivals), (id, command, client));
        Some(at_ms)
    }

    /// Lowers later times to `now_ms`, because no command was received in the future.
    pub(crate) fn hold_to(&mut self, now_ms: u64) {
        while let Some(last) = self.waiting.last_entry()
            && last.key().0 > now_ms
        {
            let ((_, user, sequence), command) = last.remove_entry();
            self.waiting.insert((now_ms, user, sequence), command);
        }
    }

    /// Closes the milliseconds before `now_ms`: new commands are placed in later ones.
    pub(crate) fn close_before(&mut self, now_ms: u64) {
        self.floor_ms = self.floor_ms.max(now_ms);
    }

    /// Whether a command of a millisecond before `before_ms` waits.
    pub(crate) fn has_before(&self, before_ms: u64) -> bool {
        self.waiting
            .first_key_value()
            .is_some_and(|((at_ms, ..), _)| *at_ms < before_ms)
    }

    /// Removes the commands of the milliseconds before `now_ms` in order, up to the size of one
    /// slice of a tick, and closes these milliseconds.
    pub(crate) fn drain_before(&mut self, now_ms: u64) -> Vec<(Order, ClientId)> {
        self.close_before(now_ms);
        let (mut orders, mut bytes) = (Vec::new(), 0);
        while orders.len() < ORDERS_PER_TICK
            && let Some(first) = self.waiting.first_entry()
            && first.key().0 < now_ms
        {
            bytes += first.get().1.weight();
            if bytes > ORDER_BYTES_PER_TICK {
                break;
            }
            let ((at_ms, user, sequence), (id, command, client)) = first.remove_entry();
            orders.push((
                Order {
                    at_ms,
                    user,
                    sequence,
                    id,
                    command,
                },
                client,
            ));
        }
        orders
    }

    /// Removes all commands, so that they can be refused.
    pub fn clear(&mut self) -> Vec<(CommandId, ClientId)> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|(id, _, client)| (id, client))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_auction::money::{Amount, Currency};
    use truetick_auction::order::{Action, Bid};
    use truetick_auction::terms::LotId;

    fn enqueue(sequencer: &mut Sequencer, user: u64, at_ms: u64) -> u64 {
        let (action, currency) = (Action::UpTo(Amount(5)), Currency::EUR);
        let command = Command::Bid(Bid {
            lot: LotId(0),
            action,
            currency,
            client_time_ms: 0,
        });
        let submission = Submission {
            client: ClientId(user as u32),
            user: UserId(user),
            id: CommandId(0),
            command,
        };
        sequencer.enqueue(submission, at_ms, 0).unwrap()
    }

    fn users(cut: Vec<(Order, ClientId)>) -> Vec<u64> {
        cut.into_iter().map(|(order, _)| order.user.0).collect()
    }

    #[test]
    fn the_current_millisecond_waits_so_that_a_tie_across_a_border_is_a_tie() {
        let mut sequencer = Sequencer::default();
        enqueue(&mut sequencer, 7, 16);
        enqueue(&mut sequencer, 9, 15);
        assert_eq!(users(sequencer.drain_before(16)), [9]);
        enqueue(&mut sequencer, 3, 16);
        assert_eq!(users(sequencer.drain_before(33)), [3, 7]);
    }

    #[test]
    fn a_time_to_come_is_now() {
        let mut sequencer = Sequencer::default();
        for user in 0..3 {
            enqueue(&mut sequencer, user, 60_000 - user);
        }
        enqueue(&mut sequencer, 9, 15);
        sequencer.hold_to(20);
        assert_eq!(users(sequencer.drain_before(20)), [9]);
        assert_eq!(users(sequencer.drain_before(21)), [0, 1, 2]);
    }

    #[test]
    fn time_never_runs_back() {
        let mut sequencer = Sequencer::default();
        enqueue(&mut sequencer, 1, 20);
        sequencer.drain_before(21);
        assert_eq!(enqueue(&mut sequencer, 2, 5), 21);
        assert_eq!(enqueue(&mut sequencer, 3, 40), 40);
        assert_eq!(Sequencer::after(70).drain_before(80), []);
        assert_eq!(enqueue(&mut Sequencer::after(70), 3, 40), 70);
    }
}
