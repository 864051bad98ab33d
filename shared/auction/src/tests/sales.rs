//! The rules of each kind of sale, by example.

use super::*;
use crate::event::{Ending, LotEventKind};
use crate::terms::{Dutch, Extend, Pricing, SoftClose};

#[test]
fn the_house_bids_for_each_as_little_as_it_takes() {
    let mut room = Room::with(&[(1, 500), (2, 500)], terms(english(10, 5)));
    assert_eq!(room.up_to(1, 100), accepted(BidStanding::Leads, 1));
    assert_eq!(
        (room.shows(), room.money(1)),
        ((Some(10), Some(1)), [400, 100, 0])
    );
    assert_eq!(
        room.up_to(2, 14),
        rejected(Reject::BelowMinimum(Amount(15)))
    );
    assert_eq!(room.up_to(2, 60), accepted(BidStanding::Outbid, 2));
    assert_eq!(
        (room.shows(), room.money(2)),
        ((Some(65), Some(1)), [500, 0, 0])
    );
    assert_eq!(room.up_to(2, 100), accepted(BidStanding::Outbid, 2));
    assert_eq!(room.shows(), (Some(100), Some(1)));
    assert_eq!(room.up_to(2, 300), accepted(BidStanding::Leads, 2));
    assert_eq!(
        (room.shows(), room.money(1), room.money(2)),
        ((Some(105), Some(2)), [500, 0, 0], [200, 300, 0])
    );
    room.step(room.tick + 200, None, &[]);
    assert_eq!(room.money(2), [395, 0, 105]);
    assert!(matches!(
        &room.out.events[0].what,
        LotEventKind::Ended {
            ending: Ending::Sold {
                winner: 2,
                price: Amount(105)
            },
            ..
        }
    ));
}

#[test]
fn raising_the_own_maximum_is_nobody_elses_business() {
    let mut lot = terms(english(10, 5));
    lot.soft_close = Some(SoftClose {
        window: 100,
        extension: 50,
        mode: Extend::Add,
        most: 500,
        hard_end: None,
    });
    let mut room = Room::with(&[(1, 500)], lot);
    room.up_to(1, 100);
    let closes = room.house.public(LotId(0)).unwrap().closes;
    assert_eq!(room.up_to(1, 200), accepted(BidStanding::Leads, 1));
    assert_eq!((room.out.events.len(), room.money(1)), (0, [300, 200, 0]));
    assert_eq!(room.house.public(LotId(0)).unwrap().closes, closes);
    assert_eq!(room.up_to(1, 150), rejected(Reject::NotRaised(Amount(200))));
    assert_eq!(room.up_to(1, 501), rejected(Reject::Funds));
}

#[test]
fn a_maximum_at_the_reserve_jumps_to_it_and_below_it_nothing_is_sold() {
    let sale = |reserve| Sale::English {
        start: Amount(10),
        increments: Increments::flat(Amount(5)),
        reserve: Some(Amount(reserve)),
        buy_now: None,
    };
    let mut room = Room::with(&[(1, 500)], terms(sale(80)));
    room.up_to(1, 79);
    assert_eq!(
        (
            room.shows().0,
            room.house.public(LotId(0)).unwrap().reserve_met
        ),
        (Some(10), false)
    );
    room.up_to(1, 80);
    assert_eq!(
        (
            room.shows().0,
            room.house.public(LotId(0)).unwrap().reserve_met
        ),
        (Some(80), true)
    );
    let mut room = Room::with(&[(1, 500)], terms(sale(80)));
    room.up_to(1, 79);
    room.step(room.tick + 200, None, &[]);
    assert_eq!(room.money(1), [500, 0, 0]);
    assert_eq!(
        room.house.public(LotId(0)).unwrap().ending,
        Some(Ending::Unsold)
    );
}

#[test]
fn it_can_be_bought_at_once_until_someone_bids() {
    let sale = || Sale::English {
        start: Amount(10),
        increments: Increments::flat(Amount(5)),
        reserve: None,
        buy_now: Some(Amount(200)),
    };
    let mut room = Room::with(&[(1, 500), (2, 100)], terms(sale()));
    assert_eq!(room.act(2, Action::BuyNow), rejected(Reject::Funds));
    assert_eq!(room.act(1, Action::BuyNow), accepted(BidStanding::Won, 1));
    assert_eq!(
        (room.money(1), room.up_to(2, 50)),
        ([300, 0, 200], rejected(Reject::Closed))
    );
    let mut room = Room::with(&[(1, 500), (2, 100)], terms(sale()));
    room.up_to(2, 50);
    assert_eq!(room.act(1, Action::BuyNow), rejected(Reject::NoBuyNow));
}

#[test]
fn a_dutch_lot_goes_to_the_first_who_takes_it() {
    let sale = Sale::Dutch(Dutch {
        start: Amount(100),
        floor: Amount(40),
        step: Amount(10),
        every: 10,
    });
    let mut room = Room::with(&[(1, 500), (2, 500)], terms(sale));
    assert_eq!(
        room.act(1, Action::Take(Amount(80))),
        rejected(Reject::AboveLimit(Amount(100)))
    );
    room.step(room.tick + 25, None, &[]);
    let orders = [2, 1].map(|user| Order {
        at_ms: 7,
        user: UserId(user),
        sequence: 0,
        id: CommandId(77),
        command: bid(0, Action::Take(Amount(80))),
    });
    room.step(room.tick + 1, None, &orders);
    let outcomes: Vec<_> = room
        .out
        .answers
        .iter()
        .map(|answered| outcome(answered.answer))
        .collect();
    assert_eq!(
        outcomes,
        [accepted(BidStanding::Won, 1), rejected(Reject::Closed)]
    );
    assert_eq!((room.money(2), room.money(1)), ([420, 0, 80], [500, 0, 0]));
}

#[test]
fn sealed_offers_stay_secret_until_the_close_and_vickrey_pays_the_second() {
    for (pricing, pays) in [(Pricing::First, 90), (Pricing::Second, 70)] {
        let sale = Sale::Sealed {
            minimum: Amount(20),
            reserve: Some(Amount(60)),
            pricing,
        };
        let mut room = Room::with(&[(1, 500), (2, 500), (3, 500)], terms(sale));
        let [first, second, third] = [(1, 70), (2, 50), (3, 90)].map(|(user, amount)| {
            let outcome = room.up_to(user, amount);
            let Outcome::Accepted {
                stands: BidStanding::Sealed,
                alias,
            } = outcome
            else {
                panic!("{outcome:?}")
            };
            alias
        });
        assert!(
            room.out.events.is_empty() && third > 3,
            "the aliases count the bidders"
        );
        assert_eq!(room.up_to(3, 60), rejected(Reject::NotRaised(Amount(90))));
        room.step(room.tick + 200, None, &[]);
        let mut revealed = vec![
            (first, Amount(70)),
            (second, Amount(50)),
            (third, Amount(90)),
        ];
        revealed.sort_unstable();
        let ending = Ending::Sold {
            winner: third,
            price: Amount(pays),
        };
        assert_eq!(
            room.out.events[0].what,
            LotEventKind::Ended { ending, revealed }
        );
        assert_eq!(
            (room.money(1), room.money(3)),
            ([500, 0, 0], [500 - pays, 0, pays])
        );
    }
}

#[test]
fn of_equal_offers_the_earlier_wins() {
    let sale = Sale::Sealed {
        minimum: Amount(20),
        reserve: None,
        pricing: Pricing::Second,
    };
    let mut room = Room::with(&[(1, 500), (2, 500)], terms(sale));
    room.up_to(2, 70);
    room.up_to(1, 70);
    room.step(room.tick + 200, None, &[]);
    assert_eq!((room.money(2), room.money(1)), ([430, 0, 70], [500, 0, 0]));
}

#[test]
fn late_bids_move_the_close_up_to_a_cap() {
    let soft = |mode, most, hard_end| {
        Some(SoftClose {
            window: 20,
            extension: 25,
            mode,
            most,
            hard_end,
        })
    };
    for (soft_close, story) in [
        (
            soft(Extend::Add, 1_000, None),
            [(80, 100), (81, 125), (106, 150), (130, 150)],
        ),
        (
            soft(Extend::Reset, 1_000, None),
            [(80, 100), (81, 106), (87, 112), (92, 112)],
        ),
        (
            soft(Extend::Add, 40, None),
            [(80, 100), (81, 125), (106, 140), (121, 140)],
        ),
        (
            soft(Extend::Add, 1_000, Some(130)),
            [(80, 100), (81, 125), (106, 130), (129, 130)],
        ),
    ] {
        let mut room = Room::with(
            &[(1, 5_000), (2, 5_000)],
            Terms {
                soft_close,
                ..terms(english(10, 5))
            },
        );
        let opened = room.house.public(LotId(0)).unwrap().opened;
        for (user, (at, closes)) in (0..).zip(story) {
            room.wait_until(opened + at - 1);
            room.up_to(user % 2 + 1, 100 * (user + 1));
            assert_eq!(
                room.house.public(LotId(0)).unwrap().closes - opened,
                closes,
                "{soft_close:?} at {at}"
            );
        }
    }
}
