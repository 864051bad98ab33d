//! Checks the send budgets of paths: they stay within their limits, packets stay within them, a
//! late server does not lower them, and no entity starves under them.

use truetick_netcode::congestion::LATE_INTERVAL;
use truetick_netcode::replication::block_delta::{bit_of, block_of, slots_of};
use truetick_netcode::replication::client_view::ClientView;
use truetick_netcode::replication::state_ring::StateRing;
use truetick_netcode::schema::Audience;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;

use super::Pair;
use super::lateness::LatenessCheck;
use crate::mark::{Mark, Marks};
use crate::server_process::world_of;

/// Bytes by which a tick may exceed its budget: the own entity and one more are always sent,
/// headers and removals add to it, and the size of an entity is known only after encoding.
const SLACK: usize = 200;

/// Maximum number of consecutive snapshots that may omit a due entity: two seconds' worth, more
/// than twice the maximum over a thousand seeds.
const LONGEST_WAIT: u64 = 120;

/// State of one client at the last check.
#[derive(Default)]
struct Seen {
    life: u64,
    budget: usize,
    fell_at: Timestamp,
    looked_at: Timestamp,
    bits: u64,
    snapshots: u64,
    tick: Tick,
    /// Per slot the snapshot since which it is due and omitted.
    due_since: Vec<Option<u64>>,
}

/// Checks the send budgets of all clients.
pub(crate) struct BudgetCheck {
    floor: usize,
    ceiling: usize,
    seen: Vec<Seen>,
}

impl BudgetCheck {
    /// Creates a checker for budgets between two limits, in bytes per tick.
    pub fn new(floor: usize, ceiling: usize) -> Self {
        Self {
            floor: floor.min(ceiling),
            ceiling,
            seen: Vec::new(),
        }
    }

    /// Resets the checker after a restart of the server.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Checks one client after a tick.
    pub fn check(
        &mut self,
        pair: &Pair<'_>,
        core: &Server,
        lateness: &LatenessCheck,
        now: Timestamp,
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) {
        let room = world_of(core);
        let (Some(view), Some(budget)) = (room.view(pair.id), core.snapshot_budget(pair.id)) else {
            return;
        };
        self.seen
            .resize_with(self.seen.len().max(pair.at + 1), Seen::default);
        let (floor, ceiling) = (self.floor, self.ceiling);
        let seen = &mut self.seen[pair.at];
        let (stats, tick) = (view.stats(), room.ring().tick());
        if seen.life != pair.client.life || stats.ticks < seen.snapshots {
            *seen = Seen {
                life: pair.client.life,
                budget,
                ..Seen::default()
            };
        }
        let before = seen.budget;
        let snapshots = stats.ticks - std::mem::replace(&mut seen.snapshots, stats.ticks);
        let bytes = (stats.bits - std::mem::replace(&mut seen.bits, stats.bits)) as usize / 8;
        if !(floor..=ceiling).contains(&budget) {
            wrong.push(format!("client {}: a budget of {budget} bytes", pair.at));
        }
        if snapshots == 1 && bytes > budget + SLACK {
            wrong.push(format!(
                "client {}: {bytes} bytes in a tick of {budget}",
                pair.at
            ));
        }
        let path_is_blamed = seen.note_budget(budget, lateness, now, marks);
        if path_is_blamed {
            wrong.push(format!(
                "client {}: its path is blamed for a late server",
                pair.at
            ));
        }
        let is_new_floor = budget == floor && before > floor;
        marks.add(Mark::BudgetAtFloor, u64::from(is_new_floor));
        let is_new_ceiling = budget == ceiling && before < ceiling;
        marks.add(Mark::BudgetRose, u64::from(is_new_ceiling));
        if snapshots > 0 {
            let starved = seen.starved(view, room.ring());
            wrong.extend(starved.map(|(slot, since)| {
                format!(
                    "client {}: slot {slot} is left out of {} snapshots",
                    pair.at,
                    stats.ticks - since
                )
            }));
        }
        seen.tick = tick;
    }
}

impl Seen {
    /// Records the budget at this check. Returns whether it fell although the server was late, for
    /// which the path is not to blame.
    fn note_budget(
        &mut self,
        budget: usize,
        lateness: &LatenessCheck,
        now: Timestamp,
        marks: &mut Marks,
    ) -> bool {
        let mut is_blamed = false;
        if budget < self.budget {
            marks.hit(Mark::BudgetFell);
            let is_doubtful = |since: Timestamp| now.since(since.max(self.fell_at)) < LATE_INTERVAL;
            // The budget of a client that was not checked at that time may have fallen before the
            // server was late.
            let fell_now = self.looked_at == lateness.ran_before();
            is_blamed = fell_now && lateness.since(now).is_some_and(is_doubtful);
            self.fell_at = now;
        }
        self.looked_at = now;
        self.budget = budget;
        is_blamed
    }

    /// Records which due slots were omitted again; returns one that has waited too long.
    fn starved(&mut self, view: &ClientView, ring: &StateRing) -> Option<(u16, u64)> {
        self.due_since.resize(ring.slots(), None);
        let mut carried = vec![0u64; ring.blocks().len()];
        view.carried_since(self.tick)
            .for_each(|(block, mask)| carried[usize::from(block)] |= mask);
        let mut longest = None;
        for (at, block) in ring.blocks().iter().enumerate() {
            for slot in slots_of(at, u64::MAX).take_while(|slot| usize::from(*slot) < ring.slots())
            {
                let is_due = view.was_relevant(slot)
                    && carried[block_of(slot)] & bit_of(slot) == 0
                    && ring.entry(slot).is_some_and(|entry| {
                        let changed = block.changed(slot, Audience::Others);
                        view.acked(entry.id)
                            .is_none_or(|acked| changed.is_after(acked))
                    });
                let since = &mut self.due_since[usize::from(slot)];
                *since = is_due.then(|| since.unwrap_or(self.snapshots));
                if since.is_some_and(|since| self.snapshots - since > LONGEST_WAIT) {
                    longest = since.map(|since| (slot, since));
                }
            }
        }
        longest
    }
}
