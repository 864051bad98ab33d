//! The auction room on its own, without a network: order, durability, secrets, rates.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::channel::Channel;
use truetick_netcode::error::WireError;
use truetick_netcode::messages::{ServerMessage, decode, encode};
use truetick_netcode::session::rate::Rate;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::journal::CommitLog;
use truetick_server::room::{Outbox, Room, RoomConfig};
use truetick_shared::auction::event::LotEventKind;
use truetick_shared::auction::house::HouseRules;
use truetick_shared::auction::limits::REQUEST_BYTES;
use truetick_shared::auction::money::{Amount, Currency};
use truetick_shared::auction::order::{
    Action, Admin, Answer, Bid, BidStanding, Command, CommandId, Outcome, Reject,
};
use truetick_shared::auction::terms::{Increments, LotId, Pricing, Sale, Terms};
use truetick_shared::auction::wire::{COMMANDS, HouseState, Refusal, Reply, Request};

const BOSS: UserId = UserId(1_000);

/// State of the journal's disk.
#[derive(Default)]
struct Disk {
    entries: Vec<Vec<u8>>,
    durable: u64,
    holds: bool,
    failed: bool,
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

struct House {
    room: AuctionRoom,
    disk: Arc<Mutex<Disk>>,
    now: Timestamp,
    said: u64,
}

impl House {
    fn with(users: u64, rate: u32, sale: Sale) -> Self {
        let (disk, now) = (
            Arc::new(Mutex::new(Disk::default())),
            Timestamp::from_millis(5_000),
        );
        let rules = HouseRules {
            currency: Currency::EUR,
            admins: vec![BOSS],
            retention: 1_000,
        };
        let rate = Rate {
            per_second: rate,
            burst: rate,
        };
        let config = AuctionConfig {
            room: RoomConfig {
                max_clients: 4_000,
                ..RoomConfig::default()
            },
            rules,
            rate,
            receipts: 1 << 20,
        };
        let port = Box::new(Port(disk.clone()));
        let mut house = Self {
            room: AuctionRoom::open(config, HouseReplica::default(), port, now),
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
        let (title, seller) = ("a bell".into(), UserId(900));
        let terms = Terms {
            title,
            seller,
            sale,
            duration: 3_600,
            soft_close: None,
        };
        house.command(
            0,
            Command::Admin(Admin::Open {
                lot: LotId(1),
                terms,
            }),
        );
        house.tick();
        (0..=users as u32).for_each(|client| drop(house.hear(client)));
        house
    }

    fn ask(&mut self, client: u32, request: &Request) -> Result<(), WireError> {
        self.room
            .receive_message(ClientId(client), COMMANDS, &encode(request), self.now)
    }

    fn command(&mut self, client: u32, command: Command) -> CommandId {
        self.said += 1;
        let id = CommandId(self.said);
        self.ask(client, &Request::Command { id, command }).unwrap();
        id
    }

    fn bid(&mut self, client: u32, amount: u64) -> CommandId {
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
    fn tick(&mut self) {
        self.now = self
            .room
            .timeline()
            .next_deadline()
            .max(self.now + Duration::from_millis(2));
        self.room.simulate(self.now);
        self.room.has_pending_output(self.now);
    }

    fn hear(&mut self, client: u32) -> Vec<Reply> {
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

    fn outcome(&mut self, client: u32, id: CommandId) -> Option<Outcome> {
        self.hear(client).into_iter().find_map(|reply| match reply {
            Reply::Answer {
                id: of,
                answer: Answer::Receipt(receipt),
            } if of == id => Some(receipt.outcome),
            _ => None,
        })
    }
}

fn english(reserve: Option<u64>) -> Sale {
    let increments = Increments::flat(Amount(5));
    Sale::English {
        start: Amount(10),
        increments,
        reserve: reserve.map(Amount),
        buy_now: None,
    }
}

#[test]
fn of_equal_bids_in_one_millisecond_the_lower_user_id_wins_in_whatever_order_they_arrive() {
    let mut across = 0;
    for seed in 0..1_000 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut house = House::with(6, 1_000, english(None));
        let mut users: Vec<u32> = (1..=6).collect();
        users.shuffle(&mut rng);
        let bidders = rng.random_range(2..=6);
        // The tick falls into a millisecond: some of its bids arrive before it, some after.
        let tick = house.room.timeline().next_deadline();
        let begin = Timestamp::from_millis(tick.as_nanos() / 1_000_000);
        let mut at: Vec<u64> = (0..bidders).map(|_| rng.random_range(0..1_000)).collect();
        at.sort_unstable();
        let mut ticked = false;
        for (user, us) in users.iter().zip(&at) {
            house.now = begin + Duration::from_micros(*us);
            if house.now >= tick && !ticked {
                house.room.simulate(tick);
                ticked = true;
                across += u64::from(*us > at[0]);
            }
            house.bid(*user, 100);
        }
        (0..3).for_each(|_| house.tick());
        let lowest = *users[..bidders].iter().min().unwrap();
        let lot = &house.room.house().lots()[&LotId(1)];
        let leader = house
            .room
            .house()
            .ledger()
            .account(lot.english.leader.unwrap().account)
            .user;
        assert_eq!(
            leader,
            UserId(u64::from(lowest)),
            "seed {seed}: {users:?} at {at:?}"
        );
    }
    assert!(across > 200, "{across} across a tick's border");
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut house = House::with(3, 1_000, english(None));
    house.disk.lock().unwrap().holds = true;
    let first = house.bid(1, 100);
    house.tick();
    assert_eq!(house.hear(1), []);
    // A client that joins or asks now receives the state without that bid.
    house
        .ask(
            2,
            &Request::Watch {
                lot: LotId(1),
                after: None,
            },
        )
        .unwrap();
    house.ask(1, &Request::Account).unwrap();
    let low = house.bid(3, 12);
    house.tick();
    let [Reply::Lot(lot)] = &house.hear(2)[..] else {
        panic!("not the lot")
    };
    assert_eq!((lot.price, lot.bids), (None, 0));
    assert_eq!((house.hear(1), house.hear(3)), (vec![], vec![]));
    house.disk.lock().unwrap().durable = u64::MAX;
    assert!(house.room.has_pending_output(house.now));
    let accepted = Outcome::Accepted {
        stands: BidStanding::Leads,
        alias: 1,
    };
    let replies = house.hear(1);
    assert!(replies.contains(&Reply::Account {
        available: Amount(9_900),
        held: Amount(100),
        paid: Amount(0)
    }));
    let answered = |reply: &Reply| matches!(reply, Reply::Answer { id, answer: Answer::Receipt(receipt) } if *id == first && receipt.outcome == accepted);
    assert!(replies.iter().any(answered), "{replies:?}");
    assert_eq!(
        house.outcome(3, low),
        Some(Outcome::Rejected(Reject::BelowMinimum(Amount(15))))
    );
    let [Reply::Events(events)] = &house.hear(2)[..] else {
        panic!("no events")
    };
    assert!(matches!(
        events[0].what,
        LotEventKind::Bid {
            price: Amount(10),
            ..
        }
    ));
}

fn say_again(house: &mut House, amount: u64, client_time_ms: u64) -> Vec<Reply> {
    let (action, currency) = (Action::UpTo(Amount(amount)), Currency::EUR);
    let command = Command::Bid(Bid {
        lot: LotId(1),
        action,
        currency,
        client_time_ms,
    });
    house
        .ask(
            1,
            &Request::Command {
                id: CommandId(9),
                command,
            },
        )
        .unwrap();
    house.tick();
    house.hear(1)
}

#[test]
fn line_51_a_repeat_gets_the_first_answer() {
    let mut house = House::with(2, 1_000, english(None));
    let first = say_again(&mut house, 50, 0);
    house.bid(2, 80);
    house.tick();
    assert_eq!(say_again(&mut house, 50, u64::MAX), first);
}

#[test]
fn line_52_another_body_under_the_same_name_is_a_conflict() {
    let mut house = House::with(2, 1_000, english(None));
    say_again(&mut house, 50, 0);
    assert_eq!(
        say_again(&mut house, 60, 0),
        [Reply::Answer {
            id: CommandId(9),
            answer: Answer::Conflict
        }]
    );
}

#[test]
fn line_54_a_clients_time_orders_nothing() {
    let mut house = House::with(2, 1_000, english(None));
    for (client, client_time_ms) in [(2, u64::MAX), (1, 0)] {
        let (action, currency) = (Action::UpTo(Amount(50)), Currency::EUR);
        house.command(
            client,
            Command::Bid(Bid {
                lot: LotId(1),
                action,
                currency,
                client_time_ms,
            }),
        );
        house.now += Duration::from_millis(1);
    }
    house.tick();
    let lot = &house.room.house().lots()[&LotId(1)];
    assert_eq!(
        house
            .room
            .house()
            .ledger()
            .account(lot.english.leader.unwrap().account)
            .user,
        UserId(2)
    );
}

#[test]
fn what_is_secret_changes_no_byte_that_others_get() {
    let vickrey = |reserve| Sale::Sealed {
        minimum: Amount(10),
        reserve: Some(Amount(reserve)),
        pricing: Pricing::Second,
    };
    let heard = |sale: Sale, maximum| {
        let mut house = House::with(3, 1_000, sale);
        house
            .ask(
                3,
                &Request::Watch {
                    lot: LotId(1),
                    after: None,
                },
            )
            .unwrap();
        let mut heard = Heard::default();
        for (client, amount) in [(1, 40), (1, maximum), (2, 30)] {
            house.bid(client, amount);
            house.tick();
            house.room.messages(ClientId(3), house.now, &mut heard);
        }
        heard.0
    };
    assert_eq!(
        heard(english(Some(900)), 60),
        heard(english(Some(901)), 899)
    );
    assert_eq!(heard(vickrey(20), 60), heard(vickrey(700), 500));
}

#[test]
fn a_failed_disk_is_told_at_once_and_nothing_more_is_taken() {
    let mut house = House::with(2, 1_000, english(None));
    house.disk.lock().unwrap().holds = true;
    let waits = house.bid(1, 50);
    house.tick();
    house.disk.lock().unwrap().failed = true;
    house.tick();
    assert_eq!(house.hear(1), [Reply::House(HouseState::Stopped)]);
    let id = house.bid(1, 70);
    house.tick();
    assert_eq!(
        house.hear(1),
        [Reply::Refused {
            id,
            why: Refusal::Stopped
        }]
    );
    house.disk.lock().unwrap().durable = u64::MAX;
    house.tick();
    assert_eq!(house.outcome(1, waits), None);
}

#[test]
fn a_bid_on_a_lot_that_many_watch_weighs_more() {
    let taken = |watchers: u32| {
        let mut house = House::with(1, 100, english(None));
        for client in 100..100 + watchers {
            house
                .room
                .join(ClientId(client), UserId(u64::from(client)), Role::Player);
            house
                .ask(
                    client,
                    &Request::Watch {
                        lot: LotId(1),
                        after: None,
                    },
                )
                .unwrap();
        }
        house.now += Duration::from_secs(5);
        let ids: Vec<_> = (0..200).map(|_| house.bid(1, 50)).collect();
        let refused = house.hear(1);
        let too_fast = |id| {
            refused.contains(&Reply::Refused {
                id,
                why: Refusal::TooFast,
            })
        };
        ids.into_iter().filter(|id| !too_fast(*id)).count()
    };
    assert_eq!((taken(0), taken(1_000)), (100, 20));
}

#[test]
fn what_is_no_request_counts_against_its_sender() {
    let mut house = House::with(1, 100, english(None));
    let now = house.now;
    for bytes in [vec![0xff; 40], vec![], vec![0; REQUEST_BYTES + 1]] {
        let result = house
            .room
            .receive_message(ClientId(1), COMMANDS, &bytes, now);
        assert!(matches!(result, Err(WireError::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn who_falls_silent_is_told_when_it_is_back_what_happened() {
    let mut house = House::with(2, 1_000, english(None));
    house
        .ask(
            2,
            &Request::Watch {
                lot: LotId(1),
                after: None,
            },
        )
        .unwrap();
    house.hear(2);
    house.room.suspend(ClientId(2));
    house.bid(1, 50);
    house.tick();
    assert_eq!(house.hear(2), []);
    house.room.resume(ClientId(2), Resume::Continued);
    let [Reply::Events(events)] = &house.hear(2)[..] else {
        panic!("no events")
    };
    assert!(matches!(
        events[0].what,
        LotEventKind::Bid {
            price: Amount(10),
            ..
        }
    ));
}

#[test]
fn a_long_catalogue_comes_in_parts() {
    let mut house = House::with(1, 100_000, english(None));
    for lot in 2..=1_100 {
        let (title, seller) = ("a bell".into(), UserId(900));
        let terms = Terms {
            title,
            seller,
            sale: english(None),
            duration: 3_600,
            soft_close: None,
        };
        house.command(
            0,
            Command::Admin(Admin::Open {
                lot: LotId(lot),
                terms,
            }),
        );
    }
    house.tick();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        house.ask(1, &Request::Catalogue { after }).unwrap();
        let [Reply::Catalogue { lots, more }] = &house.hear(1)[..] else {
            panic!("no catalogue")
        };
        all.extend(lots.iter().map(|lot| lot.0));
        after = lots.last().copied();
        if !more {
            break;
        }
    }
    assert_eq!(all, (1..=1_100).collect::<Vec<_>>());
}

#[test]
fn an_event_is_encoded_once_for_all_who_watch() {
    let mut house = House::with(1, 1_000, english(None));
    for client in 100..600 {
        house
            .room
            .join(ClientId(client), UserId(u64::from(client)), Role::Player);
        house
            .ask(
                client,
                &Request::Watch {
                    lot: LotId(1),
                    after: None,
                },
            )
            .unwrap();
        house.hear(client);
    }
    let before = house.room.told();
    house.bid(1, 50);
    house.tick();
    (100..600).for_each(|client| assert_eq!(house.hear(client).len(), 1));
    let told = house.room.told();
    assert_eq!(
        (told.events - before.events, told.encoded - before.encoded),
        (500, 1)
    );
}

#[test]
fn only_those_who_run_the_house_are_even_written_down() {
    let mut house = House::with(1, 1_000, english(None));
    let id = house.command(1, Command::Admin(Admin::Cancel { lot: LotId(1) }));
    assert_eq!(
        house.hear(1),
        [Reply::Refused {
            id,
            why: Refusal::NotAllowed
        }]
    );
    let entries = house.disk.lock().unwrap().entries.len();
    house.tick();
    assert!(house.disk.lock().unwrap().entries.len() <= entries + 1);
}
