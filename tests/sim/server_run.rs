//! Runs of the server's process: it reads its socket, ticks, and sends into the network.

use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::ClientId;
use truetick_netcode::session::server::Resume;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transport};
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;

use crate::check::ServerView;
use crate::check::lateness::Ran;
use crate::event_queue::EventQueue;
use crate::mark::{Mark, Marks};
use crate::network::{LinkId, Network, Way};
use crate::server_process::world_of;
use crate::world::{Event, Sim};

/// Transport that puts the server's datagrams into the network.
struct Wire<'a> {
    network: &'a mut Network,
    events: &'a mut EventQueue<Event>,
    marks: &'a mut Marks,
    now: Timestamp,
}

impl Transport for Wire<'_> {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        if let Some(path) = self.network.path_of(to.address) {
            let link = LinkId {
                path,
                way: Way::Down,
            };
            self.network
                .send(link, bytes, self.now, self.events, self.marks);
        }
    }

    fn flush(&mut self) {}
}

impl Sim {
    pub(crate) fn run_server(&mut self) {
        let (held, wrong) = self.server.process.take_held(self.now);
        self.check_stamps("the server", wrong);
        for (path, bytes, at) in held {
            self.server_takes(path, &bytes, at);
        }
        self.after_server();
        let shown = self.server.process.clock.at(self.now);
        let wall = self.server.wall(self.now);
        self.server.lose_processor(self.now);
        let now = self.server.process.sends_at(self.now);
        let snapshots_before = self.snapshots();
        let Some(core) = self.server.core_mut() else {
            return;
        };
        core.set_wall_clock(shown, wall);
        let before = world_of(core).timeline().next();
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        core.tick(
            &mut || shown,
            &mut Wire {
                network,
                events,
                marks,
                now,
            },
        );
        let ticks = world_of(core).timeline().next().distance(before);
        self.after_server();
        if ticks > 0 {
            let is_late = self.server.note_ticks(ticks as u32, &mut self.marks);
            let (before, after) = (snapshots_before, self.snapshots());
            self.checks.server_ran(
                &Ran {
                    ticks: ticks as u32,
                    is_late,
                    before,
                    after,
                },
                shown,
            );
            self.server.keep_recording(&mut self.marks);
            self.hashes.push(self.room().world_hash());
            self.check();
        }
        self.schedule_server();
    }

    /// Runs after the server handled a datagram: sends handshake answers and records session
    /// events.
    pub(crate) fn after_server(&mut self) {
        let now = self.server.process.sends_at(self.now);
        let Some(core) = self.server.core_mut() else {
            return;
        };
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        core.send_replies(&mut Wire {
            network,
            events,
            marks,
            now,
        });
        let mut told = Vec::new();
        while let Some(event) = core.poll_event() {
            told.push(event);
        }
        for event in told {
            match event {
                SessionEvent::Parked(_) => self.marks.hit(Mark::TimedOut),
                SessionEvent::Resumed {
                    resume: Resume::Continued,
                    ..
                } => self.marks.hit(Mark::Resumed),
                SessionEvent::Resumed {
                    resume: Resume::Restarted,
                    ..
                } => self.marks.hit(Mark::TakenOver),
                SessionEvent::Ended(_, DisconnectReason::TimedOut) => {
                    self.marks.hit(Mark::GraceOver)
                }
                _ => {}
            }
            let shown = self.server.process.clock.at(self.now);
            self.checks
                .session_changed(&event, self.server.core(), &self.network, shown);
            self.tell(&format!("server: {event:?}"));
        }
    }

    fn check(&mut self) {
        self.checks.broken(self.network.numbers.take_wrong());
        let Some(core) = self.server.core() else {
            return;
        };
        let before = self.checks.violations().len();
        let server = ServerView {
            core,
            schema: &self.kinds.schema,
            now: self.server.process.clock.at(self.now),
        };
        self.checks
            .after_tick(server, &self.clients, &self.network, &mut self.marks);
        let broken: Vec<String> = self.checks.violations()[before..].to_vec();
        broken
            .iter()
            .for_each(|violation| self.tell(&format!("BROKEN {violation}")));
    }

    /// Number of snapshots that the server made so far for each of its clients.
    fn snapshots(&self) -> Vec<(ClientId, u64)> {
        let Some(core) = self.server.core() else {
            return Vec::new();
        };
        let ids = (0..self.clients.len()).filter_map(|at| Some(core.session(self.address(at))?.0));
        ids.filter_map(|id| Some((id, world_of(core).view(id)?.stats().ticks)))
            .collect()
    }

    /// The receive time of a waiting datagram lies between two reads, even if the wall clock was
    /// set meanwhile.
    pub(crate) fn check_stamps(&mut self, whose: &str, wrong: usize) {
        if wrong > 0 {
            self.checks.broken(vec![format!(
                "{wrong} datagrams came to {whose} at a time that cannot be"
            )]);
        }
    }

    /// Stops the server: it sends disconnect notices to its clients, and its process ends.
    pub(crate) fn stop_server(&mut self) {
        let (now, shown) = (self.now, self.server.process.clock.at(self.now));
        let (network, events, marks) = (&mut self.network, &mut self.events, &mut self.marks);
        if let Some(core) = self.server.core_mut() {
            core.stop(
                shown,
                &mut Wire {
                    network,
                    events,
                    marks,
                    now,
                },
            );
        }
    }

    pub(crate) fn schedule_server(&mut self) {
        if let Some(at) = self.server.core().and_then(Server::next_deadline) {
            self.server
                .process
                .wake(at, self.now, Event::ServerWakes, &mut self.events);
        }
    }
}
