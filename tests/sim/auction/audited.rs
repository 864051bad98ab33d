//! The room of a house on a disk that makes everything durable at once, with an audit of its
//! journal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use truetick_auction::house::HouseRules;
use truetick_auction::money::{Amount, Currency};
use truetick_auction::order::{Action, Admin, Bid, Command, CommandId};
use truetick_auction::terms::{LotId, Sale, Terms};
use truetick_auction::wire::{COMMANDS, Reply, Request};
use truetick_netcode::channel::Channel;
use truetick_netcode::messages::{ServerMessage, decode, encode};
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::auction::audit::Audit;
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::journal::{CommitLog, Entries};
use truetick_server::room::{Outbox, Room, RoomConfig};

use super::world::KEEPER;

/// Ticks after a lot's close for which receipts are kept.
pub const RETENTION: u64 = 120;

struct Port(Arc<Mutex<Vec<Vec<u8>>>>);

impl Port {
    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitLog<Entry> for Port {
    fn submit(&mut self, entry: Entry) -> bool {
        self.entries().push(entry.bytes());
        true
    }

    fn durable(&self) -> u64 {
        self.entries().len() as u64
    }

    fn failure(&self) -> Option<&str> {
        None
    }
}

#[derive(Default)]
struct Heard(Vec<Reply>);

impl Outbox for Heard {
    fn waiting_bytes(&self) -> usize {
        0
    }

    fn send(&mut self, _channel: Channel, message: Vec<u8>) {
        let Ok(ServerMessage::Event { data, .. }) = decode(&message) else {
            return;
        };
        self.0.extend(decode::<Reply>(&data));
    }
}

/// An auction room on its own with an audit of its journal.
pub struct AuditedRoom {
    /// The room under test.
    pub room: AuctionRoom,
    /// Current virtual time.
    pub now: Timestamp,
    entries: Arc<Mutex<Vec<Vec<u8>>>>,
    said: u64,
}

impl AuditedRoom {
    /// Creates a house that keeps up to `receipts` receipts. Its administrator is client 0; client
    /// `n` is user `n`, with a deposit.
    pub fn new(users: u32, receipts: u64) -> Self {
        let (entries, now) = (
            Arc::new(Mutex::new(Vec::new())),
            Timestamp::from_millis(5_000),
        );
        let rules = HouseRules {
            currency: Currency::EUR,
            admins: vec![KEEPER],
            retention: RETENTION,
        };
        let rate = Rate {
            per_second: 1_000_000,
            burst: 1_000_000,
        };
        let room = RoomConfig {
            max_clients: 4_000,
            ..RoomConfig::default()
        };
        let config = AuctionConfig {
            room,
            rules,
            rate,
            receipts,
        };
        let port = Box::new(Port(entries.clone()));
        let room = AuctionRoom::open(config, HouseReplica::default(), port, now);
        let mut house = Self {
            room,
            now,
            entries,
            said: 0,
        };
        house.room.join(ClientId(0), KEEPER, Role::Player);
        for user in 1..=users {
            house
                .room
                .join(ClientId(user), UserId(u64::from(user)), Role::Player);
            house.admin(Admin::Deposit {
                user: UserId(u64::from(user)),
                amount: Amount(1 << 40),
            });
        }
        house.tick();
        (0..=users).for_each(|client| drop(house.hear(client)));
        house
    }

    /// Sends a client's command under a given name.
    pub fn say(&mut self, client: u32, id: CommandId, command: Command) {
        let request = encode(&Request::Command { id, command });
        let taken = self
            .room
            .receive_message(ClientId(client), COMMANDS, &request, self.now);
        assert!(taken.is_ok(), "{taken:?}");
    }

    /// Sends a client's command under a fresh name and returns the name.
    pub fn command(&mut self, client: u32, command: Command) -> CommandId {
        self.said += 1;
        let id = CommandId(self.said);
        self.say(client, id, command);
        id
    }

    /// Sends an administrator's command.
    pub fn admin(&mut self, admin: Admin) -> CommandId {
        self.command(0, Command::Admin(admin))
    }

    /// Opens a lot for `duration` ticks.
    pub fn open(&mut self, lot: u32, sale: Sale, duration: u64) -> CommandId {
        let (title, seller) = ("a bell".into(), UserId(1 << 50));
        let terms = Terms {
            title,
            seller,
            sale,
            duration,
            soft_close: None,
        };
        self.admin(Admin::Open {
            lot: LotId(lot),
            terms,
        })
    }

    /// Sends a client's bid.
    pub fn bid(&mut self, client: u32, lot: u32, action: Action) -> CommandId {
        let bid = Bid {
            lot: LotId(lot),
            action,
            currency: Currency::EUR,
            client_time_ms: 0,
        };
        self.command(client, Command::Bid(bid))
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
        heard.0
    }

    /// Returns the findings of an audit of the journal so far.
    pub fn audit(&self) -> Vec<String> {
        let mut audit = Audit::default();
        for entry in &*self.entries.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Err(error) = audit.entry(entry) {
                return vec![error];
            }
        }
        audit.finish();
        audit.findings
    }
}
