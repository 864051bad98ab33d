//! Whether clients play properly: snapshots reach them, and their commands are in time.

use std::time::Duration;

use serde::Serialize;
use truetick_netcode::client::stats::ClientStats;
use truetick_netcode::session::Role;

/// Time in its room before a client is judged.
const SETTLED: Duration = Duration::from_millis(750);

/// A client that gets less than one in this many does not play properly.
const ONE_IN: u64 = 10;

/// How properly the clients of a run play. Clients that were in their room for less than 0.75 s are
/// not judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PlayFigures {
    /// Number of clients judged.
    pub judged: usize,
    /// Number of clients that got snapshots of fewer than one tick in ten.
    pub without_snapshots: usize,
    /// Number of players that got snapshots, but had fewer than one command in ten in time.
    pub without_commands: usize,
    /// Number of commands that clients submitted in their present sessions.
    pub commands: u64,
    /// Number of commands for which the server reported whether they were in time.
    pub commands_judged: u64,
    /// Number of commands in time.
    pub commands_in_time: u64,
    /// Lowest share of commands in time of any judged player, 0 to 1.
    pub lowest_in_time_share: f64,
    /// Lowest share of ticks seen of any judged client, 0 to 1.
    pub lowest_seen_share: f64,
}

impl Default for PlayFigures {
    fn default() -> Self {
        Self {
            judged: 0,
            without_snapshots: 0,
            without_commands: 0,
            commands: 0,
            commands_judged: 0,
            commands_in_time: 0,
            lowest_in_time_share: 1.0,
            lowest_seen_share: 1.0,
        }
    }
}

impl PlayFigures {
    /// Adds a client that has been in its room for `time`. The room runs `tick_rate` ticks per
    /// second.
    pub fn add(&mut self, role: Role, stats: &ClientStats, tick_rate: u32, time: Duration) {
        self.commands += stats.commands;
        self.commands_judged += stats.commands_judged;
        self.commands_in_time += stats.commands_in_time;
        if time < SETTLED {
            return;
        }
        self.judged += 1;
        let ticks = (time.as_secs_f64() * f64::from(tick_rate)) as u64;
        self.lowest_seen_share = self.lowest_seen_share.min(share(stats.ticks_seen, ticks));
        if is_nearly_none(stats.ticks_seen, ticks) {
            self.without_snapshots += 1;
        } else if role == Role::Player {
            let (in_time, judged) = (stats.commands_in_time, stats.commands_judged);
            self.lowest_in_time_share = self.lowest_in_time_share.min(share(in_time, judged));
            self.without_commands += usize::from(is_nearly_none(in_time, judged));
        }
    }

    /// Descriptions of what judged clients lacked; `seconds` is the run's length. A run of 3 s or
    /// more also fails if no client was judged.
    pub fn failures(&self, seconds: f64) -> Vec<String> {
        let of = |count: usize, what: &str| {
            (count > 0).then(|| format!("{count} of {} clients {what}, should be 0", self.judged))
        };
        let unjudged = self.judged == 0 && seconds >= 4.0 * SETTLED.as_secs_f64();
        let failures = [
            of(
                self.without_snapshots,
                "got snapshots of fewer than one tick in ten",
            ),
            of(
                self.without_commands,
                "had fewer than one command in ten in time: they did not play",
            ),
            unjudged.then(|| "no client was in its room long enough to be judged".into()),
        ];
        failures.into_iter().flatten().collect()
    }
}

fn is_nearly_none(count: u64, of: u64) -> bool {
    count == 0 || count * ONE_IN < of
}

fn share(count: u64, of: u64) -> f64 {
    (count as f64 / of.max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures(role: Role, ticks_seen: u64, judged: u64, in_time: u64) -> String {
        let stats = ClientStats {
            ticks_seen,
            commands: judged,
            commands_judged: judged,
            commands_in_time: in_time,
            ..ClientStats::default()
        };
        let mut figures = PlayFigures::default();
        figures.add(role, &stats, 60, SECOND);
        figures.failures(1.0).join("; ")
    }

    #[test]
    fn one_in_ten_is_the_border() {
        assert_eq!(failures(Role::Player, 60, 50, 50), "");
        assert_eq!(failures(Role::Player, 6, 50, 5), "");
        assert!(failures(Role::Player, 60, 50, 4).contains("command"));
        assert!(failures(Role::Player, 5, 5, 5).contains("snapshots"));
    }

    #[test]
    fn none_at_all_is_never_enough() {
        assert!(failures(Role::Player, 60, 0, 0).contains("command"));
        assert!(failures(Role::Player, 0, 0, 0).contains("snapshots"));
    }

    #[test]
    fn whoever_watches_needs_snapshots_only() {
        assert_eq!(failures(Role::Spectator, 60, 0, 0), "");
        assert!(failures(Role::Spectator, 0, 0, 0).contains("snapshots"));
    }

    #[test]
    fn a_run_in_which_nobody_could_be_judged_fails_if_it_was_long_enough() {
        let mut figures = PlayFigures::default();
        figures.add(Role::Player, &ClientStats::default(), 60, SETTLED / 2);
        assert_eq!(figures.failures(1.0), Vec::<String>::new());
        assert_eq!(figures.failures(10.0).len(), 1);
    }
}
