//! `auction`: durable bids through one room in this process: queue, order, house, journal on a real
//! disk, answers. It uses no network.
//!
//! Bids arrive evenly, from a thousand bidders, on a hundred lots. The benchmark measures the time
//! from the arrival of a bid until its answer may leave, when its tick is on disk.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;
use tempfile::tempdir;
use truetick_auction::money::{Amount, Currency};
use truetick_auction::order::{Action, Admin, Answer, Bid, Command, CommandId, Outcome};
use truetick_auction::terms::{Increments, LotId, Sale, Terms};
use truetick_auction::wire::{COMMANDS, Reply, Request};
use truetick_netcode::channel::Channel;
use truetick_netcode::messages::{ServerMessage, decode, encode};
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::auction::offline;
use truetick_server::auction::room::AuctionRoom;
use truetick_server::auction::settings::AuctionSettings;
use truetick_server::files::write_text;
use truetick_server::metrics::Times;
use truetick_server::room::{Outbox, Room};
use truetick_transport::clock;

const BOSS: u64 = 1 << 40;
const RATE: u32 = 60;

/// Measure durable bids in one room, engine and journal
#[derive(Parser)]
struct Arguments {
    /// Bids offered per second; several rates may be given
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [1_000, 10_000, 100_000])]
    bids: Vec<u64>,
    /// Length of each run in seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// Number of bidders
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    bidders: u32,
    /// Number of lots
    #[arg(long, value_name = "N", default_value_t = 100)]
    lots: u32,
    /// Folder for the journals; by default the system's temporary folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Messages to all clients.
#[derive(Default)]
struct Heard(Vec<Vec<u8>>);

impl Outbox for Heard {
    fn waiting_bytes(&self) -> usize {
        0
    }

    fn send(&mut self, _channel: Channel, message: Vec<u8>) {
        self.0.push(message);
    }
}

struct Bench {
    room: AuctionRoom,
    heard: Heard,
    bidders: u32,
    /// Arrival of each bid, by its number.
    arrived: Vec<Timestamp>,
    answers: Times,
    answered: u64,
    accepted: u64,
    ticks: Times,
}

fn command(id: u64, command: Command) -> Vec<u8> {
    encode(&Request::Command {
        id: CommandId(id),
        command,
    })
}

impl Bench {
    fn open(arguments: &Arguments, data: PathBuf) -> Result<Self, Box<dyn std::error::Error>> {
        let settings = AuctionSettings {
            admins: vec![BOSS],
            commands_per_s: 1_000_000,
            burst: 1_000_000,
            max_clients: 4_096,
            data,
            ..AuctionSettings::default()
        };
        let mut room = settings.open(RATE, 1, clock::now())?;
        (0..=arguments.bidders).for_each(|client| {
            let user = if client == 0 { BOSS } else { u64::from(client) };
            room.join(ClientId(client), UserId(user), Role::Player);
        });
        let mut bench = Self {
            room,
            heard: Heard::default(),
            bidders: arguments.bidders,
            arrived: Vec::new(),
            answers: Times::default(),
            answered: 0,
            accepted: 0,
            ticks: Times::default(),
        };
        bench.found(arguments)?;
        Ok(bench)
    }

    fn found(&mut self, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
        let deposits = (1..=arguments.bidders).map(|user| Admin::Deposit {
            user: UserId(u64::from(user)),
            amount: Amount(Amount::MOST.0 / 10),
        });
        let lots = (0..arguments.lots).map(|lot| {
            let increments = Increments::flat(Amount(1));
            let sale = Sale::English {
                start: Amount(1),
                increments,
                reserve: None,
                buy_now: None,
            };
            let terms = Terms {
                title: "a lot".into(),
                seller: UserId(0),
                sale,
                duration: 1 << 30,
                soft_close: None,
            };
            Admin::Open {
                lot: LotId(lot),
                terms,
            }
        });
        for (id, admin) in (1..).zip(deposits.chain(lots)) {
            let message = command(u64::MAX - id, Command::Admin(admin));
            self.room
                .receive_message(ClientId(0), COMMANDS, &message, clock::now())?;
        }
        let until = clock::now() + Duration::from_millis(500);
        while clock::now() < until {
            self.advance();
            clock::sleep(Duration::from_millis(1));
        }
        self.ticks = Times::default();
        Ok(())
    }

    /// Runs the due ticks, and releases answers that became durable in between.
    fn advance(&mut self) {
        let now = clock::now();
        let due = self.room.due(now).ticks;
        for _ in 0..due {
            let begun = clock::now();
            self.room.simulate(begun);
            self.ticks.add(clock::now().since(begun));
        }
        if due > 0 || self.room.has_pending_output(clock::now()) {
            self.take_answers();
        }
    }

    fn take_answers(&mut self) {
        let now = clock::now();
        for client in 0..=self.bidders {
            self.room.messages(ClientId(client), now, &mut self.heard);
        }
        for message in self.heard.0.drain(..) {
            let Ok(ServerMessage::Event { data, .. }) = decode(&message) else {
                continue;
            };
            let Ok(Reply::Answer {
                id,
                answer: Answer::Receipt(receipt),
            }) = decode(&data)
            else {
                continue;
            };
            if let Some(at) = self.arrived.get(id.0 as usize) {
                self.answers.add(now.since(*at));
                self.answered += 1;
                self.accepted += u64::from(matches!(receipt.outcome, Outcome::Accepted { .. }));
            }
        }
    }

    /// Offers bids at a rate. Random clients raise random lots.
    fn run(
        &mut self,
        rate: u64,
        seconds: u64,
        lots: u32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(rate);
        let count = rate * seconds;
        let messages: Vec<(ClientId, Vec<u8>)> = (0..count)
            .map(|id| {
                let client = rng.random_range(1..=self.bidders);
                let (lot, above) = (LotId(rng.random_range(0..lots)), rng.random_range(0..200));
                let action = Action::UpTo(Amount(10 + id * 10 + above));
                let bid = Bid {
                    lot,
                    action,
                    currency: Currency::EUR,
                    client_time_ms: 0,
                };
                (ClientId(client), command(id, Command::Bid(bid)))
            })
            .collect();
        let begin = clock::now();
        self.arrived = (0..count)
            .map(|id| begin + Duration::from_nanos(id * 1_000_000_000 / rate))
            .collect();
        let mut next = 0;
        while self.answered < count {
            let now = clock::now();
            if now.since(begin) > Duration::from_secs(seconds * 3 + 5) {
                break;
            }
            while next < messages.len() && self.arrived[next] <= now {
                let (client, message) = &messages[next];
                self.room
                    .receive_message(*client, COMMANDS, message, self.arrived[next])?;
                next += 1;
            }
            self.advance();
            clock::sleep(Duration::from_micros(300));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut figures = Vec::new();
    for rate in &arguments.bids {
        let folder = tempdir()?;
        let data = arguments.data.as_ref().map_or_else(
            || folder.path().join("house"),
            |data| data.join(rate.to_string()),
        );
        let mut bench = Bench::open(&arguments, data.clone())?;
        let (cpu, begun) = (clock::thread_cpu(), clock::now());
        bench.run(*rate, arguments.seconds, arguments.lots)?;
        let seconds = clock::now().since(begun).as_secs_f64();
        let cpu = (clock::thread_cpu() - cpu).as_secs_f64();
        let commit = bench.room.metrics().commit;
        let figure = json!({
            "offered_per_s": rate,
            "answered": bench.answered,
            "answered_per_s": bench.answered as f64 / seconds,
            "accepted_share": bench.accepted as f64 / bench.answered.max(1) as f64,
            "answer_ms": { "p50": bench.answers.quantile_ms(0.5), "p99": bench.answers.quantile_ms(0.99), "max": bench.answers.max_ms() },
            "tick_to_durable_ms": { "p50": commit.quantile_ms(0.5), "p99": commit.quantile_ms(0.99), "max": commit.max_ms() },
            "tick_ms": { "p50": bench.ticks.quantile_ms(0.5), "p99": bench.ticks.quantile_ms(0.99) },
            "room_thread_cpu_share": cpu / seconds,
        });
        drop(bench);
        let begun = clock::now();
        let (text, good) = offline::audit(&data)?;
        println!("{}", serde_json::to_string_pretty(&figure)?);
        println!(
            "{text}audited in {:.1} s\n",
            clock::now().since(begun).as_secs_f64()
        );
        if !good {
            return Err("the journal is not what it must be".into());
        }
        figures.push(figure);
    }
    if let Some(path) = &arguments.json {
        write_text(path, &serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}
