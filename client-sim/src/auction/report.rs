//! The report of a crowd's run. Its JSON keys are stable.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use truetick_auction::terms::LotId;
use truetick_netcode::time::Timestamp;
use truetick_server::metrics::{RoomMetrics, Times};

use super::bidder::Bidder;
use super::figures::CrowdFigures;
use super::strategy::Strategy;
use crate::live_table::Rows;
use crate::report::Percentiles;
use crate::table::{grouped, percentiles};

/// Shorter runs are not judged by who is in the room and by what is answered.
const JUDGED_AFTER_S: f64 = 3.0;

/// Number of commands below which the share of answers is not judged.
const ENOUGH_SAID: u64 = 10;

/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub struct AuctionReport {
    /// Length of the run in seconds.
    pub seconds: f64,
    /// Number of bidders by strategy.
    #[serde(rename = "visitors")]
    pub bidders: BTreeMap<String, usize>,
    /// Number of commands submitted, repeats not counted.
    pub said: u64,
    /// Commands submitted per second.
    pub said_per_s: f64,
    /// Number of commands answered as accepted.
    pub accepted: u64,
    /// Number of commands answered as rejected: they had no effect.
    pub rejected: u64,
    /// Number of commands refused before they were ordered.
    pub refused: u64,
    /// Time from submitting a command to its answer, which is durable.
    pub answer_ms: Percentiles,
    /// Time from submitting an accepted bid until the last watcher has seen it.
    pub seen_by_all_ms: Option<Percentiles>,
    /// Number of accepted bids that some watcher had not seen by the end.
    pub unseen: u64,
    /// Time from a tick until it is durable and its answers are sent.
    pub commit_ms: Option<Percentiles>,
    /// Time from a tick's drain to handing over its last packet.
    pub tick_ms: Option<Percentiles>,
    /// Number of ticks missed.
    pub missed_ticks: Option<u64>,
    /// Number of orders written to the journal.
    pub orders: Option<u64>,
    /// CPU time of the server's thread, in milliseconds per second.
    pub server_cpu_ms_per_s: Option<f64>,
    /// CPU time of the crowd's thread, in milliseconds per second.
    pub crowd_cpu_ms_per_s: f64,
    /// Number of lot events received.
    pub events: u64,
    /// Number of lots received as complete states, in place of events.
    pub shown: u64,
    /// Violations of the protocol. There must be none.
    pub wrong: Vec<String>,
    /// Number of bidders in the room, of any strategy.
    pub joined: usize,
    /// Number of bidders that never joined, or left and did not join again within 3 s.
    pub absent: usize,
}

/// What a server in this process knows of a run.
#[derive(Clone, Copy, Debug)]
pub struct ServerFigures<'a> {
    /// Metrics of the auction's room.
    pub room: &'a RoomMetrics,
    /// CPU time of the server since its start.
    pub cpu: Duration,
}

impl AuctionReport {
    /// The report of a run so far. `server` is `None` unless the server runs in this process.
    pub fn new(seconds: f64, crowd: &CrowdFigures, server: Option<ServerFigures<'_>>) -> Self {
        let per_s = |time: Duration| time.as_secs_f64() * 1e3 / seconds.max(1e-9);
        Self {
            seconds,
            bidders: crowd
                .manners
                .iter()
                .map(|(strategy, count)| (format!("{strategy:?}"), *count))
                .collect(),
            said: crowd.said,
            said_per_s: crowd.said as f64 / seconds.max(1e-9),
            accepted: crowd.accepted,
            rejected: crowd.rejected,
            refused: crowd.refused,
            answer_ms: (&crowd.answer).into(),
            seen_by_all_ms: None,
            unseen: 0,
            commit_ms: server.map(|server| (&server.room.commit).into()),
            tick_ms: server.map(|server| (&server.room.tick_time).into()),
            missed_ticks: server.map(|server| server.room.missed_ticks),
            orders: server.map(|server| server.room.orders),
            server_cpu_ms_per_s: server.map(|server| per_s(server.cpu)),
            crowd_cpu_ms_per_s: per_s(crowd.cpu),
            events: crowd.events,
            shown: crowd.shown,
            wrong: crowd.wrong.clone(),
            joined: crowd.joined,
            absent: crowd.absent,
        }
    }

    /// Descriptions of failures: violations of the protocol and, in a run of 3 s or more, bidders
    /// that are not in the room and commands without answers.
    pub fn failures(&self) -> Vec<String> {
        let wrong = self.wrong.iter().map(|wrong| format!("wrong: {wrong}"));
        if self.seconds < JUDGED_AFTER_S {
            return wrong.collect();
        }
        let all: usize = self.bidders.values().sum();
        let absent = self.absent;
        let outside =
            (absent > 0).then(|| format!("{absent} of {all} bidders are not in the room"));
        let answered = self.accepted + self.rejected;
        let unheard = (self.said >= ENOUGH_SAID && answered * 10 < self.said)
            .then(|| format!("of {} commands {answered} were answered", self.said));
        wrong.chain(outside).chain(unheard).collect()
    }
}

/// The times from submitting an accepted bid until the last watcher has seen its effect or a later
/// one, and the number of bids that some watcher has not seen by the end.
pub(crate) fn seen_by_all(bidders: &[Bidder]) -> (Times, u64) {
    let (mut times, mut unseen) = (Times::default(), 0);
    let Some(keeper) = bidders
        .iter()
        .find(|bidder| bidder.strategy() == Strategy::Keeper)
    else {
        return (times, unseen);
    };
    let mut ticks: BTreeMap<LotId, Vec<(u64, u64)>> = BTreeMap::new();
    for event in keeper.seen() {
        ticks
            .entry(event.lot)
            .or_default()
            .push((event.tick, event.sequence));
    }
    let watchers: Vec<_> = bidders
        .iter()
        .filter(|bidder| bidder.strategy() == Strategy::Watcher)
        .collect();
    // A watcher that joined after a bid cannot have seen it in time.
    let Some(all_here) = watchers
        .iter()
        .filter_map(|watcher| watcher.first_sighting())
        .max()
    else {
        return (times, unseen);
    };
    let bids = bidders
        .iter()
        .flat_map(|bidder| bidder.bids())
        .filter(|(_, _, said)| *said > all_here);
    let mut last: BTreeMap<(LotId, u64), Option<Timestamp>> = BTreeMap::new();
    for (lot, tick, said) in bids {
        let seen = *last.entry((*lot, *tick)).or_insert_with(|| {
            let of_tick = ticks.get(lot)?.iter().rfind(|(at, _)| at == tick)?;
            let sightings = watchers
                .iter()
                .map(|watcher| watcher.sighting(*lot, of_tick.1));
            sightings.collect::<Option<Vec<_>>>()?.into_iter().max()
        });
        match seen {
            Some(seen) => times.add(seen.since(*said)),
            None => unseen += 1,
        }
    }
    (times, unseen)
}

/// The crowd on one line.
pub fn line(report: &AuctionReport, crowd: &CrowdFigures) -> String {
    format!(
        "{:4.0} s  {} in the room  {} commands, {} accepted, {} rejected, {} refused  answer p50 {:.1} ms p99 {:.1} ms",
        report.seconds,
        crowd.joined,
        grouped(report.said),
        grouped(report.accepted),
        grouped(report.rejected),
        grouped(report.refused),
        report.answer_ms.p50,
        report.answer_ms.p99
    )
}

/// Adds the rows of the full report.
pub fn full(rows: &mut Rows, report: &AuctionReport, crowd: &CrowdFigures) {
    title(rows, report, crowd);
    rows.row(
        "commands",
        &format!(
            "{} said, {} accepted, {} rejected, {} refused",
            grouped(report.said),
            grouped(report.accepted),
            grouped(report.rejected),
            grouped(report.refused)
        ),
    );
    rows.row(
        "answers",
        &format!(
            "said to answered, durably {}",
            percentiles(&report.answer_ms)
        ),
    );
    if let Some(commit) = &report.commit_ms {
        rows.row(
            "journal",
            &format!("tick to durable {}", percentiles(commit)),
        );
    }
    if let Some(seen) = &report.seen_by_all_ms {
        rows.row(
            "watchers",
            &format!("said to seen by the last {}", percentiles(seen)),
        );
    }
    rows.row(
        "events",
        &format!(
            "{} seen, {} lots shown whole, {} lots closed",
            grouped(report.events),
            grouped(report.shown),
            crowd.ended
        ),
    );
    lots(rows, crowd);
    report
        .wrong
        .iter()
        .take(5)
        .for_each(|wrong| rows.row("WRONG", wrong));
}

/// Adds a row for each open lot.
fn lots(rows: &mut Rows, crowd: &CrowdFigures) {
    for (place, lot) in crowd.lots.iter().enumerate() {
        let left = match (lot.paused, lot.extended) {
            (true, _) => "clock stopped".to_string(),
            (false, extended) => {
                format!(
                    "{:5.1} s left{}",
                    lot.left.as_secs_f64(),
                    if extended { ", extended" } else { "" }
                )
            }
        };
        let leader = lot
            .leader
            .map_or(String::new(), |leader| format!("bidder {leader} leads"));
        rows.row(
            if place == 0 { "lots" } else { "" },
            &format!(
                "{:>3} {:<28} {:<8} {:>9} {:>4} bids  {leader:<16} {left}",
                lot.lot,
                lot.title,
                lot.sale,
                lot.price.to_string(),
                lot.bids
            ),
        );
    }
}

/// Adds the title: the number of clients, and of bidders by strategy.
fn title(rows: &mut Rows, report: &AuctionReport, crowd: &CrowdFigures) {
    let manners: Vec<String> = report
        .bidders
        .iter()
        .filter(|(strategy, _)| *strategy != "Keeper")
        .map(|(strategy, count)| format!("{count} {}", strategy.to_lowercase()))
        .collect();
    rows.title(&format!(
        "Auction  {} in the room: {}",
        crowd.joined,
        manners.join(", ")
    ));
}
