//! Clients that open sessions, acknowledge and send one command per tick. Eight of them decode and
//! verify everything.

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::client::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use truetick_netcode::command::write_commands;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::messages::{Body, ClientMessage, SESSION_STREAM, encode};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::schema::Schema;
use truetick_netcode::session::UserId;
use truetick_netcode::session::client::{Received, SessionClient};
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::Transport;
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};
use truetick_transport::{ReceivedDatagram, wait_readable};

use crate::workload::{Nothing, walker_schema};

/// Cost of bare sending and receiving.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// Processor time of the server's thread per tick, in milliseconds.
    pub cpu_ms_per_tick: f64,
}

/// Number of clients that decode and verify.
const VERIFIERS: usize = 8;

const TICK: Duration = Duration::from_micros(16_667);

struct Sink {
    socket: UdpTransport,
    server: SocketAddr,
    session: SessionClient,
    connection: Option<Connection>,
    newest: Tick,
    next: Timestamp,
    verifier: Option<SnapshotBuffer>,
    snapshots: u64,
    wrong: u64,
}

impl Sink {
    fn receive(&mut self, schema: &Schema, now: Timestamp) -> std::io::Result<()> {
        let Self {
            socket,
            session,
            connection,
            newest,
            verifier,
            snapshots,
            wrong,
            server,
            ..
        } = self;
        socket.receive(now, |datagram: ReceivedDatagram<'_>| {
            let Ok(Received::Payload(payload)) = session.receive(*server, datagram.bytes, now)
            else {
                return;
            };
            let Some(connection) = connection else { return };
            let Ok((sequence, mut reader)) = connection.open(payload, now) else {
                return;
            };
            while connection.receive().is_some() {}
            while connection.poll_acked().is_some() {}
            if reader.read(Body::BITS) != Ok(Body::Snapshot as u32) {
                return connection.accept(sequence);
            }
            *newest = reader.clone().read(32).map_or(*newest, Tick).later(*newest);
            *snapshots += 1;
            let taken = verifier
                .as_mut()
                .map_or(Ok(()), |buffer| buffer.take(schema, reader).map(drop));
            match taken {
                Ok(()) => connection.accept(sequence),
                Err(SnapshotError::Baseline) => {}
                Err(error) => {
                    eprintln!("a verifying client: {error}");
                    *wrong += 1;
                }
            }
        })?;
        Ok(())
    }

    fn send(&mut self, schema: &Schema, writer: &mut BitWriter, now: Timestamp) {
        if now < self.next {
            return;
        }
        self.next = (self.next + TICK).max(now);
        while let Some(step) = self.session.poll(now) {
            step.send(self.server.into(), &mut self.socket);
        }
        if self.session.is_connected() {
            let connection = self.connection.get_or_insert_with(|| {
                let mut connection = Connection::new(1, now);
                let hello = encode(&ClientMessage::Hello {
                    schema: schema.hash(),
                });
                let _ = connection.send(SESSION_STREAM, hello);
                connection
            });
            connection.begin(writer, now, Messages::BesideState);
            if self.newest == Tick(0) {
                writer.write(Body::Empty as u32, Body::BITS);
            } else {
                writer.write(Body::Commands as u32, Body::BITS);
                write_commands(writer, self.newest + 3, [Nothing].iter());
            }
            connection.finish(writer, now);
            self.session
                .seal(writer.bytes(), now)
                .send(self.server.into(), &mut self.socket);
        }
        self.socket.flush();
    }
}

/// Sockets with their first ticks, which are spread over one tick.
fn sockets(count: usize) -> std::io::Result<Vec<(UdpTransport, Timestamp)>> {
    let begin = clock::now();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (0..count)
        .map(|i| {
            Ok((
                UdpTransport::bind(any, UdpPath::Fastest)?,
                begin + TICK * i as u32 / count as u32,
            ))
        })
        .collect()
}

/// Returns a flag that is set when standard input ends.
fn stopped() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    stop
}

/// Plays until standard input ends, then prints a report, which counts the decoding errors of the
/// verifying clients.
///
/// # Errors
///
/// A socket fails.
pub fn run(server: SocketAddr, key: Key, count: usize) -> Result<(), Box<dyn Error>> {
    let stop = stopped();
    let schema = walker_schema()?;
    let (lifetime, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
    let issuer = Issuer {
        key,
        protocol: PROTOCOL,
        servers: vec![server],
        lifetime,
        timeout,
    };
    let (mut tokens, mut load_clients) = (TokenSource::new(issuer, [3; 32]), Vec::new());
    for (i, (socket, next)) in sockets(count)?.into_iter().enumerate() {
        let token = tokens.issue(UserId(i as u64 + 1), 0, clock::unix_now());
        let session = SessionClient::new(token, PROTOCOL, i as u64, next);
        let verifier = (i % count.div_ceil(VERIFIERS) == 0).then(SnapshotBuffer::new);
        load_clients.push(Sink {
            socket,
            server,
            session,
            connection: None,
            newest: Tick(0),
            next,
            verifier,
            snapshots: 0,
            wrong: 0,
        });
    }
    let (mut writer, mut ready, mut playing) = (BitWriter::new(), Vec::new(), false);
    while !stop.load(Ordering::Relaxed) {
        wait_readable(
            load_clients.iter().map(|sink| &sink.socket),
            Duration::from_millis(1),
            &mut ready,
        )?;
        let now = clock::now();
        for at in &ready {
            load_clients[*at].receive(&schema, now)?;
        }
        load_clients
            .iter_mut()
            .for_each(|sink| sink.send(&schema, &mut writer, now));
        if !playing && load_clients.iter().all(|sink| sink.snapshots > 0) {
            playing = true;
            println!("playing");
        }
        clock::sleep_until(now + Duration::from_millis(1));
    }
    let verifiers = load_clients
        .iter()
        .filter_map(|sink| sink.verifier.as_ref());
    let held: Vec<usize> = verifiers.map(|buffer| buffer.entities().count()).collect();
    let report = json!({
        "wrong": load_clients.iter().map(|sink| sink.wrong).sum::<u64>(),
        "snapshots": load_clients.iter().filter(|sink| sink.verifier.is_some()).map(|sink| sink.snapshots).sum::<u64>(),
        "entities_held": held,
    });
    println!("{report}");
    Ok(())
}

/// Sends as many bytes as a command has in each tick, and reads all answers, until standard input
/// ends.
///
/// # Errors
///
/// A socket fails.
pub fn run_floor(server: SocketAddr, count: usize) -> Result<(), Box<dyn Error>> {
    let stop = stopped();
    let mut sockets = sockets(count)?;
    let mut ready = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        wait_readable(
            sockets.iter().map(|(socket, _)| socket),
            Duration::from_millis(1),
            &mut ready,
        )?;
        let now = clock::now();
        for at in &ready {
            sockets[*at].0.receive(now, |_| {})?;
        }
        for (socket, next) in sockets.iter_mut().filter(|(_, next)| *next <= now) {
            *next = (*next + TICK).max(now);
            socket.send(server.into(), &[7; 48]);
            socket.flush();
        }
        clock::sleep_until(now + Duration::from_millis(1));
    }
    println!("null");
    Ok(())
}
