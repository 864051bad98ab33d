//! Random histories of a house, compared with the slow model after each command.

use proptest::prelude::*;

use super::model::Model;
use super::*;
use crate::event::Ending;
use crate::public_lot::PublicLot;
use crate::terms::{Dutch, Extend, Pricing, SoftClose};

#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Clock(ClockOrder),
    Command {
        user: u64,
        id: u64,
        command: Command,
    },
}

fn sale() -> impl Strategy<Value = Sale> {
    let perhaps = |range: std::ops::Range<u64>| {
        proptest::option::of(range).prop_map(|amount: Option<u64>| amount.map(Amount))
    };
    let increments = prop_oneof![
        Just(Increments::flat(Amount(1))),
        Just(Increments(vec![
            (Amount(0), Amount(2)),
            (Amount(20), Amount(7))
        ])),
    ];
    let pricing = prop_oneof![Just(Pricing::First), Just(Pricing::Second)];
    prop_oneof![
        4 => (1u64..15, increments, perhaps(5..50), perhaps(10..60)).prop_map(
            |(start, increments, reserve, buy_now)| Sale::English { start: Amount(start), increments, reserve, buy_now }
        ),
        1 => (20u64..60, 1u64..20, 1u64..9, 1u32..20).prop_map(|(start, floor, step, every)| Sale::Dutch(Dutch {
            start: Amount(start),
            floor: Amount(floor),
            step: Amount(step),
            every
        })),
        2 => (1u64..15, perhaps(5..50), pricing)
            .prop_map(|(minimum, reserve, pricing)| Sale::Sealed { minimum: Amount(minimum), reserve, pricing }),
    ]
}

fn soft_close() -> impl Strategy<Value = SoftClose> {
    let mode = prop_oneof![Just(Extend::Add), Just(Extend::Reset)];
    (
        1u32..60,
        1u32..40,
        mode,
        0u32..90,
        proptest::option::of(100u64..180),
    )
        .prop_map(|(window, extension, mode, most, hard_end)| SoftClose {
            window,
            extension,
            mode,
            most,
            hard_end,
        })
}

fn admin() -> impl Strategy<Value = Admin> {
    let user = || (1u64..6).prop_map(UserId);
    let lot = || (0u32..6).prop_map(LotId);
    let terms = (sale(), 30u64..100, proptest::option::of(soft_close())).prop_map(
        |(sale, duration, soft_close)| Terms {
            title: "a vase".into(),
            seller: UserId(5),
            sale,
            duration,
            soft_close,
        },
    );
    prop_oneof![
        2 => (user(), 0u64..60).prop_map(|(user, amount)| Admin::Deposit { user, amount: Amount(amount) }),
        1 => (user(), 0u64..40).prop_map(|(user, amount)| Admin::Withdraw { user, amount: Amount(amount) }),
        1 => (user(), any::<bool>()).prop_map(|(user, denied)| Admin::Deny { user, denied }),
        4 => (lot(), terms).prop_map(|(lot, terms)| Admin::Open { lot, terms }),
        1 => lot().prop_map(|lot| Admin::Cancel { lot }),
        2 => (lot(), user()).prop_map(|(lot, user)| Admin::Retract { lot, user }),
    ]
}

fn a_move() -> impl Strategy<Value = Move> {
    let action = prop_oneof![
        8 => (0u64..70).prop_map(|amount| Action::UpTo(Amount(amount))),
        1 => Just(Action::BuyNow),
        1 => (0u64..70).prop_map(|amount| Action::Take(Amount(amount))),
    ];
    let bids =
        (1u64..6, 0u64..60, 0u32..6, action).prop_map(|(user, id, lot, action)| Move::Command {
            user,
            id,
            command: bid(lot, action),
        });
    let admins = (0u64..60, admin()).prop_map(|(id, admin)| Move::Command {
        user: BOSS.0,
        id,
        command: Command::Admin(admin),
    });
    let clock =
        prop_oneof![Just(ClockOrder::Pause), Just(ClockOrder::Resume)].prop_map(Move::Clock);
    prop_oneof![12 => bids, 3 => admins, 3 => (1u64..40).prop_map(Move::Wait), 1 => clock]
}

/// The public state must follow from the events alone.
fn follow(seen: &mut Vec<PublicLot>, room: &Room) {
    for event in &room.out.events {
        match seen.iter_mut().find(|lot| lot.lot == event.lot) {
            Some(lot) => assert!(
                lot.apply(event),
                "{event:?} does not follow {}",
                lot.sequence
            ),
            None => seen.push(PublicLot::opened(event).unwrap()),
        }
    }
    seen.iter()
        .for_each(|lot| assert_eq!(Some(lot), room.house.public(lot.lot).as_ref()));
}

fn compare(model: &Model, room: &Room) {
    for user in 1..6 {
        let Some(account) = room.house.ledger().find(UserId(user)) else {
            continue;
        };
        let account = room.house.ledger().account(account);
        let money = [account.available, account.held, account.paid].map(|amount| amount.0);
        assert_eq!(
            money,
            [model.available(user), model.held(user), model.paid(user)],
            "money of {user}"
        );
    }
    for (id, lot) in &model.lots {
        let real = &room.house.lots()[&LotId(*id)];
        let account = |user: u64| room.house.ledger().find(UserId(user)).unwrap();
        let ended = real.ending.clone().map(|ending| match ending {
            Ending::Sold { winner, price } => {
                let is = |(_, alias): &(_, &u32)| **alias == winner;
                Some((*real.aliases.iter().find(is).unwrap().0, price.0))
            }
            Ending::Unsold | Ending::Cancelled => None,
        });
        assert_eq!(
            ended,
            lot.ended
                .map(|sold| sold.map(|(user, price)| (account(user), price))),
            "lot {id}"
        );
        if lot.ended.is_none() {
            assert_eq!(
                real.english.price.map(|price| price.0),
                lot.price(),
                "price of {id}"
            );
            let leader = lot.leader().map(|(user, maximum)| (account(user), maximum));
            assert_eq!(
                real.english
                    .leader
                    .map(|leader| (leader.account, leader.maximum.0)),
                leader
            );
            assert_eq!(real.closes, model.closes_at(*id), "close of {id}");
        }
    }
}

fn plain(answer: Answer) -> Answer {
    let Answer::Receipt(mut receipt) = answer else {
        return answer;
    };
    (receipt.number, receipt.tick) = (0, 0);
    if let Outcome::Accepted { alias, .. } = &mut receipt.outcome {
        *alias = 0;
    }
    Answer::Receipt(receipt)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_house_does_what_the_slow_model_does(moves in proptest::collection::vec(a_move(), 1..120)) {
        let (mut room, mut model, mut seen) = (Room::new(), Model::default(), Vec::new());
        room.house = House::new(HouseRules { retention: 1_000_000, ..room.house.rules().clone() });
        for step in moves {
            let (mut orders, mut clock, mut wait) = (vec![], None, 1);
            match step {
                Move::Wait(ticks) => wait = ticks,
                Move::Clock(order) => clock = Some(order),
                Move::Command { user, id, command } => orders.push(Order {
                    at_ms: 0, user: UserId(user), sequence: 0, id: CommandId(id), command,
                }),
            }
            let mut parts = room.house.clone();
            room.step(room.tick + wait, clock, &orders);
            // The smallest parts give the result of the whole step.
            let (mut step, mut out) = (parts.begin(room.tick, clock), Output::default());
            while !parts.advance(&mut step, &orders, &mut 1, &mut out) {}
            prop_assert_eq!((&out, parts.hash()), (&room.out, room.house.hash()));
            model.step(room.tick, clock);
            for (order, answered) in orders.iter().zip(&room.out.answers) {
                prop_assert_eq!(plain(model.take(order)), plain(answered.answer), "{:?}", order);
            }
            compare(&model, &room);
            follow(&mut seen, &room);
            let hash = room.house.hash();
            let mut again: House = bitcode::decode(&bitcode::encode(&room.house)).unwrap();
            prop_assert_eq!(again.hash(), hash);
            prop_assert_eq!(again.hash_anew(), hash);
        }
    }
}
