//! Checks player input: no honest command is refused, and input is not dead for longer than the
//! path explains.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::time::Timestamp;
use truetick_server::command_queue::CommandCounts;

use super::Pair;
use crate::mark::{Mark, Marks};

/// Maximum distance of packets that flow.
const GAP: Duration = Duration::from_millis(60);

/// Maximum time beyond two round trips for which input is dead while packets flow both ways.
const DEAD: Duration = Duration::from_millis(250);

struct Seen {
    life: u64,
    missing: u64,
    /// Packets received by server and client, each with the time of the last change.
    packets: [(u64, Timestamp); 2],
    flows_since: Timestamp,
    dead_since: Option<Timestamp>,
}

/// Checks the input of all clients.
#[derive(Default)]
pub(crate) struct InputCheck(BTreeMap<usize, Seen>);

impl InputCheck {
    /// Checks a client's command counts after the server ran a tick.
    pub fn check(
        &mut self,
        pair: &Pair<'_>,
        counts: CommandCounts,
        now: Timestamp,
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) {
        if counts.rejected > 0 {
            wrong.push(format!(
                "client {}: {} of its commands were refused",
                pair.at, counts.rejected
            ));
        }
        let Some(own) = pair.client.bot.runtime().connection() else {
            return;
        };
        let packets = [pair.server.traffic().packets_in, own.traffic().packets_in];
        let fresh = Seen {
            life: pair.client.life,
            missing: counts.missing,
            packets: packets.map(|packets| (packets, now)),
            flows_since: now,
            dead_since: None,
        };
        let seen = self.0.entry(pair.at).or_insert_with(|| Seen { ..fresh });
        if seen.life != pair.client.life || counts.missing < seen.missing {
            *seen = Seen { ..fresh };
        }
        for ((before, at), packets) in seen.packets.iter_mut().zip(packets) {
            if now.since(*at) > GAP {
                seen.flows_since = now;
            }
            if packets != *before {
                (*before, *at) = (packets, now);
            }
        }
        let is_dead = counts.missing > std::mem::replace(&mut seen.missing, counts.missing);
        marks.add(
            Mark::InputDied,
            u64::from(is_dead && seen.dead_since.is_none()),
        );
        seen.dead_since = is_dead.then(|| seen.dead_since.unwrap_or(now));
        let Some(since) = seen.dead_since else { return };
        let dead = now.since(since.max(seen.flows_since));
        let explained = pair.server.rtt().rtt() * 2 + DEAD;
        if dead > explained {
            wrong.push(format!(
                "client {}: its input is dead for {dead:?} while packets flow, {explained:?} are explained",
                pair.at
            ));
        }
    }
}
