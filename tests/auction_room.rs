//! The auction room on its own, without a network: order, durability, secrets, rates.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_auction::event::LotEventKind;
use truetick_auction::limits::REQUEST_BYTES;
use truetick_auction::money::{Amount, Currency};
use truetick_auction::order::{
    Action, Admin, Answer, Bid, BidStanding, Command, CommandId, Outcome, Reject,
};
use truetick_auction::terms::{Increments, LotId, Pricing, Sale};
use truetick_auction::wire::{COMMANDS, HouseState, Refusal, Reply, Request};
use truetick_netcode::error::WireError;
use truetick_netcode::session::server::Resume;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::room::Room;
use truetick_tests::auction::held_room::{Heard, HeldRoom};

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
        let mut house = HeldRoom::with(6, 1_000, english(None));
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
        assert_eq!(
            house.leader(),
            UserId(u64::from(lowest)),
            "seed {seed}: {users:?} at {at:?}"
        );
    }
    assert!(across > 200, "{across} across a tick's border");
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut house = HeldRoom::with(3, 1_000, english(None));
    house.disk.lock().unwrap().holds = true;
    let first = house.bid(1, 100);
    house.tick();
    assert_eq!(house.hear(1), []);
    // A client that joins or asks now receives the state without that bid.
    house.watch(2);
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

fn say_again(house: &mut HeldRoom, amount: u64, client_time_ms: u64) -> Vec<Reply> {
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
    let mut house = HeldRoom::with(2, 1_000, english(None));
    let first = say_again(&mut house, 50, 0);
    house.bid(2, 80);
    house.tick();
    assert_eq!(say_again(&mut house, 50, u64::MAX), first);
}

#[test]
fn line_52_another_body_under_the_same_name_is_a_conflict() {
    let mut house = HeldRoom::with(2, 1_000, english(None));
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
    let mut house = HeldRoom::with(2, 1_000, english(None));
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
    assert_eq!(house.leader(), UserId(2));
}

#[test]
fn what_is_secret_changes_no_byte_that_others_get() {
    let vickrey = |reserve| Sale::Sealed {
        minimum: Amount(10),
        reserve: Some(Amount(reserve)),
        pricing: Pricing::Second,
    };
    let heard = |sale: Sale, maximum| {
        let mut house = HeldRoom::with(3, 1_000, sale);
        house.watch(3);
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
    let mut house = HeldRoom::with(2, 1_000, english(None));
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
        let mut house = HeldRoom::with(1, 100, english(None));
        for client in 100..100 + watchers {
            house
                .room
                .join(ClientId(client), UserId(u64::from(client)), Role::Player);
            house.watch(client);
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
    let mut house = HeldRoom::with(1, 100, english(None));
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
    let mut house = HeldRoom::with(2, 1_000, english(None));
    house.watch(2);
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
    let mut house = HeldRoom::with(1, 100_000, english(None));
    for lot in 2..=1_100 {
        house.open(lot, english(None));
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
    let mut house = HeldRoom::with(1, 1_000, english(None));
    for client in 100..600 {
        house
            .room
            .join(ClientId(client), UserId(u64::from(client)), Role::Player);
        house.watch(client);
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
    let mut house = HeldRoom::with(1, 1_000, english(None));
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
