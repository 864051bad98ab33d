//! The loop of the server's thread: receives until a tick is due, runs it, stores its recording.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tracing::{info, warn};
use truetick_netcode::time::Timestamp;
use truetick_transport::clock;

use super::{HostReport, order};
use crate::drain::Drain;
use crate::files::RecordWriter;
use crate::recording::recorder::Chunk;
use crate::server::Server;
use crate::session_log;
use crate::transport_set::TransportSet;

/// Time for which datagrams are collected before they are read together. The kernel stamps their
/// arrival, so the delay loses no accuracy and saves wake-ups.
const GATHER: Duration = Duration::from_millis(2);

/// The last collection before a deadline ends this much earlier, so that the final read is short.
const DRAIN_AHEAD: Duration = Duration::from_micros(300);

/// Target of the log lines, which names the module of the host as a whole.
const LOG: &str = "truetick_server::host";

/// State of the server's thread.
pub(super) struct Run {
    pub(super) server: Server,
    pub(super) transport_set: TransportSet,
    pub(super) order: Arc<AtomicU8>,
    /// The time within which clients leave a draining server, and the time after which the server
    /// ends the remaining sessions.
    pub(super) drain: (Duration, Duration),
    pub(super) report: Arc<Mutex<HostReport>>,
    pub(super) recording: Option<RecordWriter>,
    pub(super) capture: Option<RecordWriter>,
    /// Why the recording ended before the room.
    pub(super) lost: Option<String>,
    /// Dropped with the thread, which [`super::Host::is_running`] detects.
    pub(super) _end: mpsc::Sender<()>,
}

impl Run {
    /// Runs the server until it is stopped, drained or fails; then ends its sessions and files.
    pub(super) fn run(&mut self) -> io::Result<()> {
        // A panic outside of the rooms ends the server, but clients still receive notices and files
        // are completed.
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_until_stopped()))
            .unwrap_or_else(|_| Err(io::Error::other("the server's thread panicked")));
        session_log::log(&mut self.server, clock::now());
        self.server.stop(clock::now(), &mut self.transport_set);
        self.end_recording();
        self.keep_capture();
        self.end_capture();
        self.publish();
        info!(target: LOG, "stopped");
        ended
    }

    fn run_until_stopped(&mut self) -> io::Result<()> {
        let (mut publish_at, mut draining) = (clock::now(), false);
        loop {
            match self.order.load(Ordering::Relaxed) {
                order::STOP => break,
                order::DRAIN if !draining => {
                    draining = true;
                    let ((within, limit), now) = (self.drain, clock::now());
                    info!(
                        target: LOG,
                        clients = self.server.sessions(),
                        ?within,
                        ?limit,
                        "draining"
                    );
                    self.server
                        .drain(Drain::new(now.as_micros() as u32, within, limit, now));
                }
                _ => {}
            }
            if draining && self.server.is_drained(clock::now()) {
                break;
            }
            if self.server.has_failed() {
                return Err(io::Error::other("every room has ended by a panic"));
            }
            let Some(deadline) = self.server.next_deadline() else {
                break;
            };
            self.gather_until(deadline)?;
            self.server.set_wall_clock(clock::now(), clock::unix_now());
            self.server.tick(&mut clock::now, &mut self.transport_set);
            session_log::log(&mut self.server, clock::now());
            self.keep_recording();
            if clock::now() >= publish_at {
                self.publish();
                self.keep_capture();
                publish_at = clock::now() + Duration::from_millis(500);
            }
        }
        Ok(())
    }

    /// Receives events until the deadline, and once more right at it.
    fn gather_until(&mut self, deadline: Timestamp) -> io::Result<()> {
        loop {
            let now = clock::now();
            if now + DRAIN_AHEAD >= deadline {
                break;
            }
            self.drain(now)?;
            self.server.send_replies(&mut self.transport_set);
            self.server
                .flush_pending(&mut clock::now, &mut self.transport_set);
            let idle = (deadline - DRAIN_AHEAD).since(now);
            let idle = if self.server.awaits_news() {
                idle.min(GATHER)
            } else {
                idle
            };
            self.transport_set.wait(idle)?;
            clock::sleep_until((clock::now() + GATHER).min(deadline - DRAIN_AHEAD));
        }
        clock::sleep_until(deadline);
        self.drain(clock::now())
    }

    fn drain(&mut self, now: Timestamp) -> io::Result<()> {
        let server = &mut self.server;
        self.transport_set
            .receive(now, |from, event, at| server.receive(from, event, at))
    }

    fn publish(&self) {
        let mut rooms = self.server.rooms().iter().map(|room| room.metrics());
        let report = HostReport {
            room: rooms.next().unwrap_or_default(),
            other_rooms: rooms.collect(),
            tick_rate: self
                .server
                .rooms()
                .first()
                .map_or(0, |room| room.timeline().rate()),
            drops: *self.server.drops(),
            sessions: self.server.sessions(),
            udp: self.transport_set.udp(),
            quic: self.transport_set.quic(),
            wire: self.transport_set.bytes_sent(),
            cpu: clock::thread_cpu() + self.transport_set.cpu(),
            receive_buffer: self.transport_set.receive_buffer(),
            recording_lost: self.lost.clone(),
            failed_rooms: self.server.failed_rooms(),
            unexplained_reports: self.server.unexplained_reports(),
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Hands recorded chunks to the thread that writes files. A room never waits for a disk: if the
    /// disk is too slow or full, the recording ends and the room continues.
    fn keep_recording(&mut self) {
        let world = self.server.room_mut(0).and_then(|room| room.world_mut());
        let (Some(files), Some(room)) = (&mut self.recording, world) else {
            return;
        };
        while let Some(chunk) = room.poll_recording() {
            if !files.keep(chunk) {
                room.stop_recording();
                let cause = self.recording.take().map(RecordWriter::give_up);
                return self.recording_lost(cause.unwrap_or_default());
            }
        }
    }

    fn recording_lost(&mut self, cause: String) {
        warn!(target: LOG, cause, "the recording is not whole; the room goes on");
        self.lost = Some(cause);
    }

    fn end_recording(&mut self) {
        if let Some(room) = self.server.room_mut(0).and_then(|room| room.world_mut()) {
            room.finish_recording();
        }
        self.keep_recording();
        if let Some(Err(error)) = self.recording.take().map(RecordWriter::finish) {
            self.recording_lost(error.to_string());
        }
    }

    fn keep_capture(&mut self) {
        let (Some(file), Some(capture)) = (&mut self.capture, self.server.capture_mut()) else {
            return;
        };
        let full = capture.is_full();
        let kept = file.keep(Chunk {
            segment: 0,
            bytes: capture.take(),
        });
        if !kept || full {
            *self.server.capture_mut() = None;
            let cause = self
                .capture
                .take()
                .map(RecordWriter::give_up)
                .filter(|_| !kept);
            warn!(target: LOG, full, cause, "the capture ends here; the room goes on");
        }
    }

    fn end_capture(&mut self) {
        *self.server.capture_mut() = None;
        if let Some(Err(error)) = self.capture.take().map(RecordWriter::finish) {
            warn!(target: LOG, %error, "the capture is not whole");
        }
    }
}
