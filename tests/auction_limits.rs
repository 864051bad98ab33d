//! An auction house at its limits: more orders than a tick takes, repetitions after all receipts
//! were removed, bounded work.

use truetick_auction::limits::{ORDERS_PER_TICK, RELEASED_AT_ONCE, WORK_PER_TICK};
use truetick_auction::money::Amount;
use truetick_auction::order::{Action, Admin, Answer, Command, CommandId, Outcome, Reject};
use truetick_auction::terms::{Dutch, Increments, LotId, Pricing, Sale};
use truetick_auction::wire::{Refusal, Reply};
use truetick_netcode::session::UserId;
use truetick_tests::auction::audited::{AuditedRoom, RETENTION};

fn english() -> Sale {
    let increments = Increments::flat(Amount(1));
    Sale::English {
        start: Amount(1),
        increments,
        reserve: None,
        buy_now: None,
    }
}

fn outcomes(house: &mut AuditedRoom, client: u32) -> Vec<(CommandId, Outcome)> {
    let answered = |reply| match reply {
        Reply::Answer {
            id,
            answer: Answer::Receipt(receipt),
        } => Some((id, receipt.outcome)),
        _ => None,
    };
    house
        .hear(client)
        .into_iter()
        .filter_map(answered)
        .collect()
}

fn outcome(house: &mut AuditedRoom, client: u32, id: CommandId) -> Option<Outcome> {
    outcomes(house, client)
        .into_iter()
        .find(|(of, _)| *of == id)
        .map(|(_, outcome)| outcome)
}

/// Opens a lot and waits until the next tick is the last one that takes bids on it.
fn up_to_the_close(house: &mut AuditedRoom, sale: Sale) {
    house.open(7, sale, 20);
    house.tick();
    let closes = house.room.house().lots()[&LotId(7)].closes;
    while house.room.house().tick() + 2 < closes {
        house.tick();
    }
}

#[test]
fn a_lot_closes_when_all_that_came_before_is_decided() {
    let dutch = Dutch {
        start: Amount(9),
        floor: Amount(9),
        step: Amount(1),
        every: 1,
    };
    let sealed = |pricing| Sale::Sealed {
        minimum: Amount(1),
        reserve: None,
        pricing,
    };
    let sales = [
        english(),
        sealed(Pricing::First),
        sealed(Pricing::Second),
        Sale::Dutch(dutch),
    ];
    for (sale, backlog) in sales
        .into_iter()
        .flat_map(|sale| [1, 3].map(|backlog| (sale.clone(), backlog)))
    {
        let mut house = AuditedRoom::new(2, 1 << 20);
        up_to_the_close(&mut house, sale.clone());
        // All of these are rejected, but not for being late.
        let many = backlog * ORDERS_PER_TICK + 10;
        (0..many).for_each(|_| _ = house.bid(1, 7, Action::BuyNow));
        let action = if matches!(sale, Sale::Dutch(_)) {
            Action::Take(Amount(9))
        } else {
            Action::UpTo(Amount(9))
        };
        let last = house.bid(2, 7, action);
        house.tick();
        let late = house.bid(2, 7, action);
        (0..backlog + 3).for_each(|_| house.tick());
        let told = outcomes(&mut house, 2);
        assert!(
            matches!(told[..], [(id, Outcome::Accepted { .. }), (other, Outcome::Rejected(Reject::Closed))]
            if (id, other) == (last, late)),
            "{sale:?}: {told:?}"
        );
        let others = outcomes(&mut house, 1);
        let closed = others
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Rejected(Reject::Closed));
        assert_eq!((others.len(), closed.count()), (many, 0), "{sale:?}");
        assert!(house.room.house().lots()[&LotId(7)].ending.is_some());
        assert_eq!(house.audit(), Vec::<String>::new());
    }
}

#[test]
fn what_moves_money_is_done_once_however_late_it_is_repeated() {
    let mut house = AuditedRoom::new(1, 1 << 20);
    let deposit = Command::Admin(Admin::Deposit {
        user: UserId(1),
        amount: Amount(100),
    });
    let withdraw = Command::Admin(Admin::Withdraw {
        user: UserId(1),
        amount: Amount(30),
    });
    let money = |house: &AuditedRoom| {
        house
            .room
            .house()
            .ledger()
            .accounts()
            .iter()
            .map(|account| account.deposited.0)
            .sum::<u64>()
    };
    let before = money(&house);
    for round in 0..3 {
        house.say(0, CommandId(u64::MAX), deposit.clone());
        house.say(0, CommandId(u64::MAX - 1), withdraw.clone());
        house.tick();
        let told = outcomes(&mut house, 0);
        assert!(
            told.iter()
                .all(|(_, outcome)| matches!(outcome, Outcome::Accepted { .. })),
            "{told:?}"
        );
        assert_eq!(money(&house), before + 70, "round {round}");
        (0..RETENTION + 5).for_each(|_| house.tick());
    }
    house.say(0, CommandId(u64::MAX), withdraw);
    house.tick();
    assert_eq!(
        house.hear(0),
        [Reply::Answer {
            id: CommandId(u64::MAX),
            answer: Answer::Conflict
        }]
    );
    assert_eq!(house.audit(), Vec::<String>::new());
}

#[test]
fn when_receipts_are_full_bids_are_refused_and_nothing_is_forgotten_early() {
    let mut house = AuditedRoom::new(1, 160);
    house.open(7, english(), 1_000);
    house.tick();
    let ids: Vec<_> = (0..200)
        .map(|amount| house.bid(1, 7, Action::UpTo(Amount(amount + 10))))
        .collect();
    house.tick();
    let told = house.hear(1);
    let refused = |id: &&CommandId| {
        told.contains(&Reply::Refused {
            id: **id,
            why: Refusal::Busy,
        })
    };
    assert_eq!(ids.iter().filter(refused).count(), 200 - (150 - 2));
    // The administrator still can, and repetitions get their answers.
    let cancel = house.admin(Admin::Cancel { lot: LotId(7) });
    let repeat = truetick_auction::order::Bid {
        lot: LotId(7),
        action: Action::UpTo(Amount(10)),
        currency: truetick_auction::money::Currency::EUR,
        client_time_ms: 0,
    };
    house.say(1, ids[0], Command::Bid(repeat));
    house.tick();
    assert!(matches!(
        outcome(&mut house, 0, cancel),
        Some(Outcome::Accepted { .. })
    ));
    assert!(matches!(
        outcome(&mut house, 1, ids[0]),
        Some(Outcome::Accepted { .. })
    ));
    (0..RETENTION + 2).for_each(|_| house.tick());
    house.open(8, english(), 1_000);
    house.tick();
    let free = house.bid(1, 8, Action::UpTo(Amount(10)));
    house.tick();
    assert!(matches!(
        outcome(&mut house, 1, free),
        Some(Outcome::Accepted { .. })
    ));
}

#[test]
fn a_tick_does_so_much_of_the_houses_work_and_no_more() {
    let mut house = AuditedRoom::new(1_100, 1 << 20);
    let sealed = Sale::Sealed {
        minimum: Amount(1),
        reserve: None,
        pricing: Pricing::Second,
    };
    // Fifty sealed lots of a thousand offers each, and two thousand others, close in one tick.
    (0..50).for_each(|lot| _ = house.open(lot, sealed.clone(), 40));
    (50..2_050).for_each(|lot| _ = house.open(lot, english(), 40));
    house.tick();
    for lot in 0..50 {
        (1..=1_000).for_each(|client| _ = house.bid(client, lot, Action::UpTo(Amount(10))));
    }
    (50..2_050).for_each(|lot| _ = house.bid(1, lot, Action::UpTo(Amount(10))));
    (0..60).for_each(|_| house.tick());
    assert!(
        house
            .room
            .house()
            .lots()
            .values()
            .all(|lot| lot.ending.is_some())
    );
    // A user who leads on two thousand lots is barred, and many receipts are removed.
    (3_000..5_000).for_each(|lot| _ = house.open(lot, english(), 1_000));
    house.tick();
    (3_000..5_000).for_each(|lot| _ = house.bid(2, lot, Action::UpTo(Amount(10))));
    house.tick();
    house.admin(Admin::Deny {
        user: UserId(2),
        denied: true,
    });
    (0..RETENTION + 60).for_each(|_| house.tick());
    assert!(
        house
            .room
            .house()
            .lots()
            .values()
            .all(|lot| lot.english.leader.is_none())
    );
    let work = house.room.work();
    // The close of a lot and a chore are not divided.
    assert!(
        work.most <= WORK_PER_TICK + 1_100 && work.left_over > 3,
        "{work:?}"
    );
    assert!(
        work.most_released <= RELEASED_AT_ONCE + WORK_PER_TICK,
        "{work:?}"
    );
    assert_eq!(house.audit(), Vec::<String>::new());
}
