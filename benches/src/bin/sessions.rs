//! Many sessions in one server: memory of each, and time of each while idle. `cargo run --release
//! -p truetick-benches --bin sessions`

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use serde_json::json;
use truetick_benches::report::give;
use truetick_benches::{Crowd, FullRoom, WALL};
use truetick_netcode::limits::{HALF_OPEN, SESSIONS};
use truetick_netcode::session::packet::write_request;
use truetick_netcode::time::Timestamp;
use truetick_server::files::resident_bytes;
use truetick_transport::clock;

/// Many sessions in one server
#[derive(Parser)]
struct Arguments {
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let start = Timestamp::from_millis(1_000);
    let mut crowd = Crowd::new(start);
    let clients: Vec<_> = (0..SESSIONS as u64)
        .map(|user| crowd.client(user))
        .collect();
    let before = resident_bytes().ok_or("this system does not tell its memory")?;
    let began = clock::thread_cpu();
    for client in &clients {
        crowd.open(client);
    }
    let opening = clock::thread_cpu() - began;
    let opened = resident_bytes().unwrap_or(before);
    assert_eq!(crowd.server().roster().live(), SESSIONS);
    let began = clock::thread_cpu();
    for _ in 0..100 {
        crowd.pass();
    }
    let idle = (clock::thread_cpu() - began).as_secs_f64() * 1e6 / 100.0 / SESSIONS as f64;

    let mut strangers = Crowd::new(start);
    let requests: Vec<_> = (0..100_000u64).map(|user| strangers.token(user)).collect();
    let empty = resident_bytes().unwrap_or(0);
    for (i, token) in requests.iter().enumerate() {
        let from = SocketAddr::from((
            [10, (i >> 12) as u8, (i >> 6) as u8 & 63, i as u8 & 63],
            5_000,
        ));
        let request = write_request(token.protocol, token.expires, &token.nonce, &token.sealed);
        strangers.give(from, &request);
    }
    let full = resident_bytes().unwrap_or(0);
    assert_eq!(strangers.server().half_open(), HALF_OPEN);
    let mut room = FullRoom::new(1_000, 0, Some(8.0));
    let tick_before = median_tick_ms(&mut room);
    let [requests, responses, tick] = room.resume_all();
    let report = json!({
        "resume_1000": {
            "requests_ms": requests,
            "responses_ms": responses,
            "tick_after_ms": tick,
            "tick_before_with_clients_ms": tick_before,
        },
        "sessions": SESSIONS,
        "bytes_per_session": opened.saturating_sub(before) as f64 / SESSIONS as f64,
        "opening_us_per_session": opening.as_secs_f64() * 1e6 / SESSIONS as f64,
        "idle_us_per_session_and_tick": idle,
        "half_open_of_100000": strangers.server().half_open(),
        "half_open_table_bytes": full.saturating_sub(empty),
        "wall": WALL.as_secs(),
    });
    give(&report, arguments.json.as_deref())
}

/// Median processor time of 60 ticks, in milliseconds.
fn median_tick_ms(room: &mut FullRoom) -> f64 {
    let mut tick_ms: Vec<f64> = (0..60)
        .map(|_| {
            let began = clock::thread_cpu();
            room.tick();
            (clock::thread_cpu() - began).as_secs_f64() * 1e3
        })
        .collect();
    tick_ms.sort_by(f64::total_cmp);
    tick_ms[30]
}
