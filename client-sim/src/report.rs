//! The report of a run. Its JSON keys are stable and described here.

use std::collections::BTreeMap;

use serde::Serialize;
use truetick_server::files::resident_bytes;
use truetick_server::host::HostReport;
use truetick_server::metrics::Times;

use crate::measure::ClientFigures;
use crate::play::PlayFigures;

/// A distribution of times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// Median of the times.
    pub p50: f64,
    /// 99th percentile of the times.
    pub p99: f64,
    /// Longest of the times.
    pub max: f64,
}

impl From<&Times> for Percentiles {
    fn from(times: &Times) -> Self {
        Self {
            p50: times.quantile_ms(0.5),
            p99: times.quantile_ms(0.99),
            max: times.max_ms(),
        }
    }
}

/// A mean value.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Mean {
    /// The mean, in the unit that the key names.
    pub mean: f64,
}

/// The report of a run. Parts that were not measured are absent: `server` and what only it knows,
/// where the server ran in another process.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Parameters of the run.
    pub run: RunPart,
    /// Cost of the server.
    pub server: Option<ServerPart>,
    /// Latency of commands.
    pub latency: LatencyPart,
    /// Quality of prediction.
    pub prediction: PredictionPart,
    /// Display of other entities.
    pub interpolation: InterpolationPart,
    /// Arrival of commands at the server, all clients together.
    pub commands: Option<CommandsPart>,
    /// Contents of snapshots.
    pub snapshot: Option<SnapshotPart>,
    /// Whether clients hold the server's states.
    pub integrity: IntegrityPart,
    /// Whether clients play properly: snapshots reach them, and their commands are in time.
    pub play: PlayFigures,
    /// Clients that joined and that were lost.
    pub clients: ClientsPart,
}

/// Parameters of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunPart {
    /// Number of bots that play.
    pub clients: usize,
    /// Number of bots that watch.
    pub spectators: usize,
    /// Number of drones, where the run started the server.
    pub drones: Option<u32>,
    /// Ticks per second.
    pub tick_rate: u32,
    /// Network between bots and server.
    pub profile: String,
    /// Seed of world, bots and network.
    pub seed: u64,
    /// Length in seconds.
    pub seconds: f64,
}

/// Cost of the server.
#[derive(Clone, Debug, Serialize)]
pub struct ServerPart {
    /// Number of ticks simulated.
    pub ticks: u64,
    /// Number of ticks whose time line skipped, or whose last snapshot was handed to the kernel
    /// after the next deadline.
    pub missed_ticks: u64,
    /// Time from the last drain before a tick to handing over its last snapshot.
    pub tick_ms: Percentiles,
    /// CPU time of the server's threads per tick, receiving included (thread CPU clock).
    pub cpu_ms_per_tick: Mean,
    /// Bytes of UDP payload sent per client and second.
    pub bytes_out_per_client_s: f64,
    /// Snapshot packets sent per tick, all clients together.
    pub packets_out_per_tick: f64,
    /// Resident memory of the process; in the demo the bots are in the same process.
    pub rss_bytes: u64,
    /// Number of datagrams that the kernel dropped before the server read them.
    pub kernel_drops: u64,
    /// Number of errors of the UDP socket, none of which ended it: of receiving, and datagrams that
    /// the kernel refused.
    pub socket_errors: u64,
    /// Number of batches for QUIC's thread that were dropped because its queue was full.
    pub quic_batches_dropped: u64,
    /// Number of QUIC connections that were closed because no session followed, or to make space
    /// for others.
    pub quic_strangers_closed: u64,
    /// Number of QUIC connections that were ended because frames for them exceeded the limit.
    pub quic_ended_unsent: u64,
    /// Number of datagrams that the server dropped, by reason (see `netcode/src/session/drops.rs`).
    /// Reasons that did not occur are absent.
    pub drops: BTreeMap<&'static str, u64>,
    /// Number of datagrams that the server dropped, for all reasons together.
    pub dropped_datagrams: u64,
    /// Panics that ended rooms.
    pub failed_rooms: Vec<String>,
}

/// Latency of commands.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyPart {
    /// Time from sending a command to the first snapshot with its effect, at the client.
    pub command_to_snapshot_ms: Percentiles,
    /// Time from a command's arrival at the server's socket (kernel time stamp) to handing over the
    /// first snapshot with its effect.
    pub arrival_to_sent_ms: Option<Percentiles>,
    /// `command_to_snapshot_ms` by stages; valid only where client and server share a host's clock.
    pub stages_ms: StagesPart,
}

/// Stages of a command's latency.
#[derive(Clone, Debug, Serialize)]
pub struct StagesPart {
    /// From sending to the server's socket.
    pub client_to_server: Percentiles,
    /// From the server's socket to the tick's deadline.
    pub wait_for_tick: Percentiles,
    /// From the tick's deadline to the creation of the client's snapshot.
    pub simulate_and_encode: Percentiles,
    /// From the creation of the snapshot to the client's socket.
    pub server_to_client: Percentiles,
}

/// Quality of prediction.
#[derive(Clone, Debug, Serialize)]
pub struct PredictionPart {
    /// Number of server states that were compared with a prediction.
    pub ticks: u64,
    /// Number of comparisons in which any predicted field differed on the grid at the acknowledged
    /// command.
    pub mispredictions: u64,
    /// Mispredictions because the server lacked a command in time.
    pub caused_by_command: u64,
    /// Mispredictions because something else affected the player.
    pub caused_by_interaction: u64,
    /// Mispredictions without a known cause: a defect.
    pub unexplained: u64,
    /// Median distance between wrong prediction and server, in metres. A respawn at another place
    /// counts, too.
    pub error_m_p50: f64,
    /// 99th percentile of the distance between wrong prediction and server, in metres.
    pub error_m_p99: f64,
}

/// Display of other entities.
#[derive(Clone, Debug, Serialize)]
pub struct InterpolationPart {
    /// How far the display trails the newest state, median over clients and time.
    pub delay_ms_p50: f64,
    /// Time in which a client had nothing newer to show, summed over clients.
    pub starved_ms: f64,
    /// Longest time for which any client was without a newer snapshot.
    pub longest_gap_ms: f64,
}

/// Arrival of commands at the server.
#[derive(Clone, Debug, Serialize)]
pub struct CommandsPart {
    /// Number of new commands in time.
    pub received: u64,
    /// Number of commands that arrived after their tick's drain.
    pub late: u64,
    /// Number of commands that were absent at their tick's drain; the last one was repeated.
    pub missing: u64,
    /// Number of repeated commands, which redundancy causes.
    pub duplicate: u64,
    /// Number of commands that were too far ahead or contradicted an earlier one.
    pub rejected: u64,
}

/// Contents of snapshots.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotPart {
    /// Relevant entities per client and tick.
    pub entities_per_client_mean: f64,
    /// Bytes of state per entity update sent, headers of snapshots included.
    pub bytes_per_entity: f64,
    /// Bytes of UDP payload per client and tick.
    pub bytes_per_client_tick: f64,
    /// Number of entity updates deferred for lack of budget.
    pub deferred: u64,
    /// Share of entity updates that reused another client's encoding, 0 to 1.
    pub encode_shared: f64,
    /// Block deltas encoded per tick, each for all clients that share it.
    pub units_encoded_per_tick: f64,
    /// Entities encoded per tick for one client each.
    pub entities_encoded_individually_per_tick: f64,
}

/// Whether clients hold the server's states.
#[derive(Clone, Debug, Serialize)]
pub struct IntegrityPart {
    /// Number of packets whose decoded state did not fit the server's hash.
    pub hash_mismatches: u64,
    /// Number of datagrams that could not be decoded.
    pub decode_errors: u64,
    /// Number of datagrams dropped because they were repeated or overtaken by newer ones.
    pub stale: u64,
}

/// Clients that joined and that were lost.
#[derive(Clone, Debug, Serialize)]
pub struct ClientsPart {
    /// Number of clients in their room at the end.
    pub joined: usize,
    /// Number of sessions that were lost, and of clients that are not in their room at the end.
    pub lost: usize,
    /// Number of times that a client received nothing from the server for 250 ms and began to
    /// resume.
    pub silences: u64,
    /// Number of times that a session was resumed.
    pub resumes: u64,
    /// Longest time from a resumption's first request to its session.
    pub longest_resume_ms: f64,
    /// CPU time of the bots per tick, all together.
    pub cpu_ms_per_tick: f64,
}

impl Report {
    /// The report of a run's figures. `host` is the server's report, where the server ran in this
    /// process.
    pub fn new(run: RunPart, clients: &ClientFigures, host: Option<&HostReport>) -> Self {
        let ticks = run.seconds * f64::from(run.tick_rate);
        let counts = clients.counts;
        let [to_server, wait, simulate, to_client] = &clients.stages;
        Self {
            server: host.map(server_part),
            latency: LatencyPart {
                command_to_snapshot_ms: (&clients.command_to_snapshot).into(),
                arrival_to_sent_ms: host.map(|host| (&host.room.arrival_to_sent).into()),
                stages_ms: StagesPart {
                    client_to_server: to_server.into(),
                    wait_for_tick: wait.into(),
                    simulate_and_encode: simulate.into(),
                    server_to_client: to_client.into(),
                },
            },
            prediction: PredictionPart {
                ticks: counts.compared,
                mispredictions: counts.mispredictions,
                caused_by_command: clients.causes[0],
                caused_by_interaction: clients.causes[1],
                unexplained: clients.causes[2],
                error_m_p50: clients.errors.quantile_m(0.5),
                error_m_p99: clients.errors.quantile_m(0.99),
            },
            interpolation: InterpolationPart {
                delay_ms_p50: clients.interpolation_delay.quantile_ms(0.5),
                starved_ms: clients.starved.as_secs_f64() * 1e3,
                longest_gap_ms: counts.longest_gap_us as f64 / 1e3,
            },
            commands: host.map(commands_part),
            snapshot: host.map(snapshot_part),
            integrity: IntegrityPart {
                hash_mismatches: counts.hash_mismatches,
                decode_errors: counts.decode_errors,
                stale: counts.stale,
            },
            play: clients.play,
            clients: ClientsPart {
                joined: clients.joined,
                lost: clients.lost + (run.clients + run.spectators).saturating_sub(clients.joined),
                silences: counts.silences,
                resumes: counts.resumes,
                longest_resume_ms: counts.longest_resume_us as f64 / 1e3,
                cpu_ms_per_tick: ratio(clients.cpu.as_secs_f64() * 1e3, ticks),
            },
            run,
        }
    }

    /// Descriptions of the budgets that the run missed. `max_missed_percent` is the share of missed
    /// ticks from which on that budget is missed.
    pub(crate) fn missed_budgets(&self, max_missed_percent: f64) -> Vec<String> {
        let mut missed = Vec::new();
        let mut none = |what: &str, count: u64| {
            if count > 0 {
                missed.push(format!("{count} {what}, should be 0"));
            }
        };
        none("clients lost", self.clients.lost as u64);
        none("hash mismatches", self.integrity.hash_mismatches);
        none("decode errors", self.integrity.decode_errors);
        none("unexplained mispredictions", self.prediction.unexplained);
        missed.extend(self.play.failures(self.run.seconds));
        if let Some(server) = &self.server {
            missed.extend(
                server
                    .failed_rooms
                    .iter()
                    .map(|room| format!("a room has ended: {room}")),
            );
            let percent = ratio(100.0 * server.missed_ticks as f64, server.ticks as f64);
            if percent >= max_missed_percent {
                missed.push(format!(
                    "{percent:.2} % of ticks missed, should be under {max_missed_percent} %"
                ));
            }
        }
        missed
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn server_part(host: &HostReport) -> ServerPart {
    let rooms = &host.room;
    ServerPart {
        ticks: rooms.ticks,
        missed_ticks: rooms.missed_ticks,
        tick_ms: (&rooms.tick_time).into(),
        cpu_ms_per_tick: Mean {
            mean: ratio(host.cpu.as_secs_f64() * 1e3, rooms.ticks as f64),
        },
        bytes_out_per_client_s: ratio(rooms.bytes_out as f64, rooms.snapshots as f64)
            * f64::from(host.tick_rate),
        packets_out_per_tick: ratio(rooms.packets_out as f64, rooms.ticks as f64),
        rss_bytes: resident_bytes().unwrap_or(0),
        kernel_drops: host.udp.kernel_drops,
        socket_errors: host.udp.receive_errors + host.udp.send_errors,
        quic_batches_dropped: host.quic.batches_dropped,
        quic_strangers_closed: host.quic.seats.expired + host.quic.seats.displaced,
        quic_ended_unsent: host.quic.ended_unsent,
        drops: host
            .drops
            .counts()
            .map(|(reason, count)| (reason.key(), count))
            .collect(),
        dropped_datagrams: host.drops.total(),
        failed_rooms: host
            .failed_rooms
            .iter()
            .map(|(room, cause)| format!("room {room}: {cause}"))
            .collect(),
    }
}

fn commands_part(host: &HostReport) -> CommandsPart {
    let counts = host.room.commands;
    CommandsPart {
        received: counts.received,
        late: counts.late,
        missing: counts.missing,
        duplicate: counts.duplicate,
        rejected: counts.rejected,
    }
}

fn snapshot_part(host: &HostReport) -> SnapshotPart {
    let rooms = &host.room;
    let (asked, encoded) = rooms.encode_sharing;
    SnapshotPart {
        entities_per_client_mean: ratio(rooms.relevant as f64, rooms.snapshots as f64),
        bytes_per_entity: ratio(rooms.state_bits as f64 / 8.0, rooms.updates as f64),
        bytes_per_client_tick: ratio(rooms.bytes_out as f64, rooms.snapshots as f64),
        deferred: rooms.deferred,
        encode_shared: ratio((asked - encoded) as f64, asked as f64),
        units_encoded_per_tick: ratio(encoded as f64, rooms.ticks as f64),
        entities_encoded_individually_per_tick: ratio(
            rooms.encoded_individually as f64,
            rooms.ticks as f64,
        ),
    }
}
