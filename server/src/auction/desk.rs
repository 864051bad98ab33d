//! Puts commands in order: by (receive time in milliseconds, user, sequence). A tick gets those of finished milliseconds only, so
//! that what arrives in the same millisecond is compared with each other even across a tick's border.

use truetick_netcode::session::{ClientId, UserId};
use truetick_shared::auction::limits::{ORDER_BYTES_PER_TICK, ORDERS_PER_TICK, WAITING};
use truetick_shared::auction::order::{Command, CommandId, Order};

/// See the module.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: Vec<(Order, ClientId)>,
    /// Commands so far: their sequence, so that each client's stay in their order.
    arrivals: u64,
    /// Milliseconds before this were handed out.
    floor_ms: u64,
}

impl Desk {
    /// A desk that goes on after orders of this time.
    pub fn after(last_ms: u64) -> Self {
        Self { waiting: Vec::new(), arrivals: 0, floor_ms: last_ms }
    }

    /// Takes a command that was released at that time. Its time is moved up to what was handed out already, and to
    /// `no_earlier_ms`, its client's last; returned is what it became. `None` if no more fit.
    pub fn put(
        &mut self,
        (client, user): (ClientId, UserId),
        (id, command): (CommandId, Command),
        (at_ms, no_earlier_ms): (u64, u64),
    ) -> Option<u64> {
        if self.waiting.len() >= WAITING {
            return None;
        }
        let at_ms = at_ms.max(no_earlier_ms).max(self.floor_ms);
        self.arrivals += 1;
        let sequence = self.arrivals;
        self.waiting.push((Order { at_ms, user, sequence, id, command }, client));
        Some(at_ms)
    }

    /// Hands out what came in milliseconds before `now_ms`, in order, up to what a tick takes.
    pub fn cut(&mut self, now_ms: u64) -> Vec<(Order, ClientId)> {
        self.floor_ms = self.floor_ms.max(now_ms);
        self.waiting.sort_unstable_by_key(|(order, _)| order.place());
        let finished = self.waiting.partition_point(|(order, _)| order.at_ms < now_ms);
        let mut bytes = 0;
        let fits = self.waiting[..finished.min(ORDERS_PER_TICK)].iter().take_while(|(order, _)| {
            bytes += order.command.weight();
            bytes <= ORDER_BYTES_PER_TICK
        });
        let fits = fits.count();
        let rest = self.waiting.split_off(fits);
        std::mem::replace(&mut self.waiting, rest)
    }

    /// Hands out everything, to be refused.
    pub fn clear(&mut self) -> Vec<(Order, ClientId)> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_shared::auction::money::{Amount, Currency};
    use truetick_shared::auction::order::{Action, Bid};
    use truetick_shared::auction::terms::LotId;

    fn put(desk: &mut Desk, user: u64, at_ms: u64) -> u64 {
        let (action, currency) = (Action::UpTo(Amount(5)), Currency::EUR);
        let command = Command::Bid(Bid { lot: LotId(0), action, currency, client_time_ms: 0 });
        let who = (ClientId(user as u32), UserId(user));
        desk.put(who, (CommandId(0), command), (at_ms, 0)).unwrap()
    }

    fn users(cut: Vec<(Order, ClientId)>) -> Vec<u64> {
        cut.into_iter().map(|(order, _)| order.user.0).collect()
    }

    #[test]
    fn the_current_millisecond_waits_so_that_a_tie_across_a_border_is_a_tie() {
        let mut desk = Desk::default();
        put(&mut desk, 7, 16);
        put(&mut desk, 9, 15);
        assert_eq!(users(desk.cut(16)), [9]);
        put(&mut desk, 3, 16);
        assert_eq!(users(desk.cut(33)), [3, 7]);
    }

    #[test]
    fn time_never_runs_back() {
        let mut desk = Desk::default();
        put(&mut desk, 1, 20);
        desk.cut(21);
        assert_eq!(put(&mut desk, 2, 5), 21);
        assert_eq!(put(&mut desk, 3, 40), 40);
        assert_eq!(Desk::after(70).cut(80), []);
        assert_eq!(put(&mut Desk::after(70), 3, 40), 70);
    }
}
