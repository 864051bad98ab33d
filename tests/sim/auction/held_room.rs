//! The room of a house on a disk that a test holds and fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use truetick_auction::house::HouseRules;
use truetick_auction::money::{Amount, Currency};
use truetick_auction::order::{Action, Admin, Answer, Bid, Command, CommandId, Outcome};
use truetick_auction::terms::{LotId, Sale, Terms};
use truetick_auction::wire::{COMMANDS, Reply, Request};
use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::{ServerMessage, decode, encode};
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::journal::CommitLog;
use truetick_server::room::{Outbox, Room, RoomConfig};

const BOSS: UserId = UserId(1_000);

/// State of the journal's disk.
#[derive(Default)]
pub struct Disk {
    /// The journal's entries, in order.
    pub entries: Vec<Vec<u8>>,
    /// Number of entries that are durable.
    pub durable: u64,
    /// Whether the disk makes no further entry durable.
    pub holds: bool,
    /// Whether the disk has failed.
    pub failed: bool,
}

struct Port(Arc<Mutex<Disk>>);

impl CommitLog<Entry> for Port {
    fn submit(&mut self, entry: Entry) -> bool {
        let mut disk = self.0.lock().unwrap();
        disk.entries.push(entry.bytes());
        if !disk.holds {
            disk.durable = disk.entries.len() as u64;
        }
        !disk.failed
    }

    fn durable(&self) -> u64 {
        self.0.lock().unwrap().durable
    }

    fn failure(&self) -> Option<&str> {
        self.0.lock().unwrap().failed.then_some("no disk")
    }
}

/// Collects the messages for a client.
#[derive(Default)]
pub struct Heard(pub Vec<Vec<u8>>);

impl Outbox for Heard {
    fn waiting_bytes(&self) -> usize {
        0
    }

    fn send(&mut self, _channel: Channel, message: Vec<u8>) {
        self.0.push(message);
    }
}

/// An auction room on its own, whose disk a test holds and fails.
pub struct HeldRoom {
    /// The room under test.
    pub room: AuctionRoom,
    /// The disk of its journal.
    pub disk: Arc<Mutex<Disk>>,
    /// Current virtual time.
    pub now: Timestamp,
    said: u64,
}

impl HeldRoom {
    /// Creates a house with lot 1 on sale. Its administrator is client 0; client `n` is user `n`,
    /// with a deposit of 100.00. Each may send `rate` commands per second.
    pub fn with(users: u64, rate: u32, sale: Sale) -> Self {
        let (disk, now) = (
            Arc::new(Mutex::new(Disk::default())),
            Timestamp::from_millis(5_000),
        );
        let port = Box::new(Port(disk.clone()));
        let mut house = Self {
            room: AuctionRoom::open(config(rate), HouseReplica::default(), port, now),
            disk,
            now,
            said: 0,
        };
        house.room.join(ClientId(0), BOSS, Role::Player);
        for user in 1..=users {
            house
                .room
                .join(ClientId(user as u32), UserId(user), Role::Player);
            house.command(
                0,
                Command::Admin(Admin::Deposit {
                    user: UserId(user),
                    amount: Amount(10_000),
                }),
            );
        }
        house.open(1, sale);
        house.tick();
        (0..=users as u32).for_each(|client| drop(house.hear(client)));
        house
    }

    /// Opens a lot for a minute.
    pub fn open(&mut self, lot: u32, sale: Sale) {
        let (title, seller) = ("a bell".into(), UserId(900));
        let terms = Terms {
            title,
            seller,
            sale,
            duration: 3_600,
            soft_close: None,
        };
        self.command(
            0,
            Command::Admin(Admin::Open {
                lot: LotId(lot),
                terms,
            }),
        );
    }

    /// Lets a client watch lot 1.
    pub fn watch(&mut self, client: u32) {
        let (lot, after) = (LotId(1), None);
        self.ask(client, &Request::Watch { lot, after }).unwrap();
    }

    /// Returns the user who leads lot 1.
    pub fn leader(&self) -> UserId {
        let house = self.room.house();
        let leader = house.lots()[&LotId(1)].english.leader.unwrap();
        house.ledger().account(leader.account).user
    }

    /// Sends a client's request.
    pub fn ask(&mut self, client: u32, request: &Request) -> Result<(), WireError> {
        self.room
            .receive_message(ClientId(client), COMMANDS, &encode(request), self.now)
    }

    /// Sends a client's command under a fresh name and returns the name.
    pub fn command(&mut self, client: u32, command: Command) -> CommandId {
        self.said += 1;
        let id = CommandId(self.said);
        self.ask(client, &Request::Command { id, command }).unwrap();
        id
    }

    /// Sends a client's bid on lot 1 of up to an amount.
    pub fn bid(&mut self, client: u32, amount: u64) -> CommandId {
        let (action, currency) = (Action::UpTo(Amount(amount)), Currency::EUR);
        self.command(
            client,
            Command::Bid(Bid {
                lot: LotId(1),
                action,
                currency,
                client_time_ms: 0,
            }),
        )
    }

    /// Runs the next tick at its due time.
    pub fn tick(&mut self) {
        self.now = self
            .room
            .timeline()
            .next_deadline()
            .max(self.now + Duration::from_millis(2));
        self.room.simulate(self.now);
        self.room.has_pending_output(self.now);
    }

    /// Returns the messages for a client since the last call.
    pub fn hear(&mut self, client: u32) -> Vec<Reply> {
        let mut heard = Heard::default();
        self.room.messages(ClientId(client), self.now, &mut heard);
        let reply = |message: Vec<u8>| {
            let ServerMessage::Event { data, .. } = decode(&message).unwrap() else {
                panic!("no event")
            };
            decode(&data).unwrap()
        };
        heard.0.into_iter().map(reply).collect()
    }

    /// Returns the outcome of a client's command, if its receipt is among the messages since the
    /// last call.
    pub fn outcome(&mut self, client: u32, id: CommandId) -> Option<Outcome> {
        self.hear(client).into_iter().find_map(|reply| match reply {
            Reply::Answer {
                id: of,
                answer: Answer::Receipt(receipt),
            } if of == id => Some(receipt.outcome),
            _ => None,
        })
    }
}

fn config(rate: u32) -> AuctionConfig {
    AuctionConfig {
        room: RoomConfig {
            max_clients: 4_000,
            ..RoomConfig::default()
        },
        rules: HouseRules {
            currency: Currency::EUR,
            admins: vec![BOSS],
            retention: 1_000,
        },
        rate: Rate {
            per_second: rate,
            burst: rate,
        },
        receipts: 1 << 20,
    }
}
