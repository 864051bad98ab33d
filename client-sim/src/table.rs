//! The report as a text for people.

use std::fmt::Write as _;

use crate::live_table::Rows;
use crate::report::{Percentiles, Report};

/// The report on one line.
pub fn line(report: &Report) -> String {
    let mut line = format!(
        "{:4.0} s  {} clients",
        report.run.seconds, report.clients.joined
    );
    if let Some(server) = &report.server {
        let _ = write!(
            line,
            "  tick p99 {:.2} ms, {} missed, cpu {:.2} ms  {:.1} kB/s per client",
            server.tick_ms.p99,
            server.missed_ticks,
            server.cpu_ms_per_tick.mean,
            server.bytes_out_per_client_s / 1e3,
        );
    }
    let _ = write!(
        line,
        "  command to snapshot p50 {:.1} ms  {} of {} predictions wrong",
        report.latency.command_to_snapshot_ms.p50,
        report.prediction.mispredictions,
        grouped(report.prediction.ticks),
    );
    line
}

/// Adds the rows of the full report.
pub fn full(rows: &mut Rows, report: &Report) {
    let run = &report.run;
    let drones = run
        .drones
        .map_or(String::new(), |drones| format!(" {drones} drones,"));
    let watching = if run.spectators > 0 {
        format!(" {} watching,", run.spectators)
    } else {
        String::new()
    };
    rows.title(&format!(
        "Truetick  {} clients,{watching}{drones} {} Hz, {}, seed {}  {:.0} s",
        run.clients, run.tick_rate, run.profile, run.seed, run.seconds
    ));
    server_rows(rows, report);
    feel_rows(rows, report);
    let integrity = &report.integrity;
    rows.row(
        "integrity",
        &format!(
            "{} hash mismatches, {} decode errors, {} overtaken packets dropped",
            integrity.hash_mismatches, integrity.decode_errors, integrity.stale
        ),
    );
    let clients = &report.clients;
    let cpu = clients.cpu_ms_per_tick;
    rows.row(
        "clients",
        &format!(
            "{} joined, {} lost; all together use {cpu:.2} ms of CPU a tick",
            clients.joined, clients.lost
        ),
    );
    if clients.silences > 0 {
        rows.row(
            "sessions",
            &format!(
                "{} times silent for 250 ms, {} resumed, in {:.0} ms at most",
                clients.silences, clients.resumes, clients.longest_resume_ms
            ),
        );
    }
}

fn server_rows(rows: &mut Rows, report: &Report) {
    if let Some(server) = &report.server {
        let cpu = server.cpu_ms_per_tick.mean;
        let share = cpu * f64::from(report.run.tick_rate) / 10.0;
        rows.row(
            "server",
            &format!(
                "{} ticks, {} missed; CPU {cpu:.2} ms a tick ({share:.1} % of a core)",
                grouped(server.ticks),
                server.missed_ticks,
            ),
        );
    }
    if let Some(server) = &report.server {
        rows.row(
            "",
            &format!(
                "from drain to last snapshot {}",
                percentiles(&server.tick_ms)
            ),
        );
    }
    if let (Some(server), Some(snapshot)) = (&report.server, &report.snapshot) {
        rows.row(
            "wire",
            &format!(
                "{:.1} kB/s a client, {:.0} entities in interest, {:.1} B an update, {:.0} packets/tick",
                server.bytes_out_per_client_s / 1e3,
                snapshot.entities_per_client_mean,
                snapshot.bytes_per_entity,
                server.packets_out_per_tick,
            ),
        );
    }
    if let Some(commands) = &report.commands {
        rows.row(
            "commands",
            &format!(
                "{} in time, {} late, {} missing, {} rejected",
                grouped(commands.received),
                commands.late,
                commands.missing,
                commands.rejected
            ),
        );
    }
}

fn feel_rows(rows: &mut Rows, report: &Report) {
    let (latency, prediction) = (&report.latency, &report.prediction);
    rows.row(
        "latency",
        &format!(
            "command to its snapshot {}",
            percentiles(&latency.command_to_snapshot_ms)
        ),
    );
    if let Some(at_server) = &latency.arrival_to_sent_ms {
        let stages = &latency.stages_ms;
        rows.row(
            "",
            &format!(
                "there {:.1}, wait {:.1}, tick {:.1}, back {:.1} ms (p50)",
                stages.client_to_server.p50,
                stages.wait_for_tick.p50,
                stages.simulate_and_encode.p50,
                stages.server_to_client.p50,
            ),
        );
        rows.row(
            "",
            &format!("arrival to sending {}", percentiles(at_server)),
        );
    }
    let share = 100.0 * prediction.mispredictions as f64 / prediction.ticks.max(1) as f64;
    rows.row(
        "prediction",
        &format!(
            "{} compared, {} wrong ({share:.3} %), by {:.3} m (p50)",
            grouped(prediction.ticks),
            grouped(prediction.mispredictions),
            prediction.error_m_p50,
        ),
    );
    rows.row(
        "",
        &format!(
            "because: {} touched by something, {} command late, {} unexplained",
            prediction.caused_by_interaction, prediction.caused_by_command, prediction.unexplained,
        ),
    );
    let others = &report.interpolation;
    rows.row(
        "others",
        &format!(
            "shown {:.1} ms behind (p50), {:.0} ms starved in all, longest gap {:.0} ms",
            others.delay_ms_p50, others.starved_ms, others.longest_gap_ms
        ),
    );
}

/// A distribution on one line.
pub fn percentiles(times: &Percentiles) -> String {
    format!(
        "p50 {:.2}, p99 {:.2}, max {:.1} ms",
        times.p50, times.p99, times.max
    )
}

/// A number with separated thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The latency harness's table: every stage with its percentiles.
pub(crate) fn latency_table(report: &Report) -> String {
    let latency = &report.latency;
    let stages = &latency.stages_ms;
    let mut text = format!("{:<34} {:>9} {:>9} {:>9}\n", "ms", "p50", "p99", "max");
    for (name, times) in [
        (
            "command sent -> snapshot received",
            &latency.command_to_snapshot_ms,
        ),
        ("  client to server", &stages.client_to_server),
        ("  wait for the tick", &stages.wait_for_tick),
        ("  simulate and encode", &stages.simulate_and_encode),
        ("  server to client", &stages.server_to_client),
    ] {
        let _ = writeln!(
            text,
            "{name:<34} {:>9.2} {:>9.2} {:>9.2}",
            times.p50, times.p99, times.max
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "1234567"].map(|n| grouped(n.replace(',', "").parse().unwrap())),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
