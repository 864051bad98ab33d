//! The process that is killed: a server with an auction house.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use truetick_netcode::session::UserId;
use truetick_netcode::session::crypto::Key;
use truetick_server::auction::entry::Entry;
use truetick_server::auction::room::AuctionRoom;
use truetick_server::auction::settings::AuctionSettings;
use truetick_server::config::ServerConfig;
use truetick_server::host::{Host, random_u64};
use truetick_server::journal::CommitLog;
use truetick_server::room::Room;
use truetick_transport::clock;
use truetick_transport::udp::{UdpPath, UdpTransport};

use crate::Done;

/// The administrator of the house.
pub const KEEPER: UserId = UserId(1 << 41);

/// Number of entries that a hasty house withholds after it reported them as durable.
const HASTE: usize = 12;

/// The key of the server in all its lives.
pub fn key() -> Key {
    Key::new([7; 32])
}

/// The configuration of the server.
pub fn config(listen: SocketAddr) -> ServerConfig {
    ServerConfig {
        listen,
        max_clients: 64,
        joins_per_address_s: 1_000,
        ..ServerConfig::default()
    }
}

fn settings(data: &Path) -> AuctionSettings {
    AuctionSettings {
        admins: vec![KEEPER.0],
        retention_s: 3_600,
        commands_per_s: 10_000,
        burst: 10_000,
        segment_mb: 1,
        keep_segments: 1_000_000,
        data: data.into(),
        ..AuctionSettings::default()
    }
}

/// A free address.
pub fn free_address() -> std::io::Result<SocketAddr> {
    UdpTransport::bind(SocketAddr::from(([127, 0, 0, 1], 0)), UdpPath::Fastest)?.local_address()
}

/// Serves until the process is killed.
pub fn serve(data: &Path, listen: SocketAddr, hasty: bool) -> Done<()> {
    let config = config(listen);
    let settings = settings(data);
    let room = match hasty {
        false => settings.open(config.tick_rate, random_u64()?, clock::now())?,
        true => {
            let (auction, replica, committer) =
                settings.prepare(config.tick_rate, random_u64()?)?;
            AuctionRoom::open(
                auction,
                replica,
                Box::new(Hasty::new(Box::new(committer))),
                clock::now(),
            )
        }
    };
    let rooms: Vec<Box<dyn Room>> = vec![Box::new(room)];
    let host = Host::start_rooms(&config, key(), rooms, Vec::new())?;
    println!("serving");
    while host.is_running() {
        clock::sleep(std::time::Duration::from_millis(100));
    }
    Ok(())
}

/// A commit log that reports entries as durable before it writes them: the defect that must be
/// found.
struct Hasty {
    journal: Box<dyn CommitLog<Entry>>,
    kept: Vec<Entry>,
    said: u64,
}

impl Hasty {
    fn new(journal: Box<dyn CommitLog<Entry>>) -> Self {
        let said = journal.durable();
        Self {
            journal,
            kept: Vec::new(),
            said,
        }
    }
}

impl CommitLog<Entry> for Hasty {
    fn submit(&mut self, entry: Entry) -> bool {
        self.said += 1;
        self.kept.push(entry);
        if self.kept.len() >= HASTE {
            return self.kept.drain(..).all(|entry| self.journal.submit(entry));
        }
        true
    }

    fn durable(&self) -> u64 {
        self.said
    }

    fn failure(&self) -> Option<&str> {
        self.journal.failure()
    }
}

/// A running server, which is killed when this is dropped.
pub struct HouseProcess(Child);

impl HouseProcess {
    /// Starts the server and waits until it serves.
    pub fn start(data: &Path, listen: SocketAddr, hasty: bool) -> Done<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--serve")
            .arg(data)
            .arg("--listen")
            .arg(listen.to_string());
        if hasty {
            command.arg("--hasty");
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut first = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut first)?;
        let mut process = Self(child);
        if first.trim() != "serving" {
            process.kill()?;
            return Err("the server did not start: see above".into());
        }
        Ok(process)
    }

    /// Kills the server with a signal that it cannot handle.
    pub fn kill(&mut self) -> std::io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for HouseProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
