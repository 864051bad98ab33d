//! Each rule once, by example.

use super::*;
use crate::auction::event::{Ending, LotEventKind};
use crate::auction::terms::{Dutch, Extend, Pricing, SoftClose};

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

#[test]
fn a_repeat_gets_its_receipt_and_another_body_a_conflict() {
    let mut room = Room::with(&[(1, 500), (2, 500)], terms(english(10, 5)));
    let order = |action, client_time_ms| {
        let bid = Bid {
            lot: LotId(0),
            action,
            currency: Currency::EUR,
            client_time_ms,
        };
        Order {
            at_ms: 1,
            user: UserId(1),
            sequence: 9,
            id: CommandId(5),
            command: Command::Bid(bid),
        }
    };
    room.step(room.tick + 1, None, &[order(Action::UpTo(Amount(50)), 1)]);
    let first = room.out.answers[0].answer;
    room.up_to(2, 90);
    room.step(
        room.tick + 1,
        None,
        &[order(Action::UpTo(Amount(50)), u64::MAX)],
    );
    assert_eq!(
        (room.out.answers[0].answer, room.out.events.len()),
        (first, 0)
    );
    room.step(room.tick + 1, None, &[order(Action::UpTo(Amount(51)), 1)]);
    assert_eq!(room.out.answers[0].answer, Answer::Conflict);
    room.step(room.tick + 300, None, &[order(Action::UpTo(Amount(50)), 1)]);
    assert_eq!(room.out.answers[0].answer, first);
    room.step(
        room.tick + RETENTION,
        None,
        &[order(Action::UpTo(Amount(50)), 1)],
    );
    assert_eq!(
        outcome(room.out.answers[0].answer),
        rejected(Reject::UnknownLot)
    );
}

#[test]
fn line_53_what_cannot_be_is_refused_by_name() {
    let mut room = Room::with(&[(1, 500), (999, 500), (3, 10)], terms(english(10, 5)));
    room.admin(Admin::Deny {
        user: UserId(4),
        denied: true,
    });
    room.admin(Admin::Deposit {
        user: UserId(4),
        amount: Amount(100),
    });
    assert_eq!(room.up_to(1, 0), rejected(Reject::NotPositive));
    assert_eq!(room.up_to(1, u64::MAX), rejected(Reject::TooLarge));
    assert_eq!(room.up_to(1, Amount::MOST.0), rejected(Reject::Funds));
    assert_eq!(room.up_to(1, 9), rejected(Reject::BelowMinimum(Amount(10))));
    assert_eq!(room.up_to(999, 20), rejected(Reject::Seller));
    assert_eq!(room.up_to(4, 20), rejected(Reject::Denied));
    assert_eq!(room.up_to(5, 20), rejected(Reject::NotRegistered));
    assert_eq!(room.up_to(3, 20), rejected(Reject::Funds));
    assert_eq!(
        room.act(1, Action::Take(Amount(20))),
        rejected(Reject::WrongSale)
    );
    let foreign = Bid {
        lot: LotId(0),
        action: Action::UpTo(Amount(20)),
        currency: Currency(*b"USD"),
        client_time_ms: 0,
    };
    assert_eq!(
        outcome(room.next(Command::Bid(foreign), UserId(1))),
        rejected(Reject::WrongCurrency)
    );
    assert_eq!(
        outcome(room.next(bid(7, Action::UpTo(Amount(20))), UserId(1))),
        rejected(Reject::UnknownLot)
    );
    let cancel = Command::Admin(Admin::Cancel { lot: LotId(0) });
    assert_eq!(
        outcome(room.next(cancel.clone(), UserId(1))),
        rejected(Reject::NotAdmin)
    );
    assert_eq!(outcome(room.next(cancel, BOSS)), done());
    assert_eq!(room.up_to(1, 20), rejected(Reject::Closed));
}

#[test]
fn a_cancellation_gives_back_exactly_what_is_held() {
    let mut room = Room::with(&[(1, 500)], terms(english(10, 5)));
    room.up_to(1, 333);
    assert_eq!(room.money(1), [167, 333, 0]);
    assert_eq!(
        room.admin(Admin::Withdraw {
            user: UserId(1),
            amount: Amount(168)
        }),
        rejected(Reject::Funds)
    );
    assert_eq!(room.admin(Admin::Cancel { lot: LotId(0) }), done());
    assert_eq!(room.money(1), [500, 0, 0]);
    assert_eq!(
        room.admin(Admin::Cancel { lot: LotId(0) }),
        rejected(Reject::Closed)
    );
}

#[test]
fn a_retraction_passes_over_who_has_not_the_money_any_more() {
    let mut room = Room::with(&[(1, 100), (2, 100), (3, 100)], terms(english(10, 5)));
    room.up_to(1, 40);
    room.up_to(2, 60);
    room.up_to(3, 90);
    room.admin(Admin::Withdraw {
        user: UserId(2),
        amount: Amount(70),
    });
    assert_eq!(
        room.admin(Admin::Retract {
            lot: LotId(0),
            user: UserId(3)
        }),
        done()
    );
    assert_eq!(
        (room.shows(), room.money(1)),
        ((Some(10), Some(1)), [60, 40, 0])
    );
    assert_eq!(
        room.admin(Admin::Retract {
            lot: LotId(0),
            user: UserId(3)
        }),
        rejected(Reject::NoBid)
    );
}

#[test]
fn a_lot_that_closes_at_a_tick_counts_the_bids_before_it() {
    for (at, counts) in [(99, true), (100, false)] {
        let mut room = Room::with(&[(1, 500)], terms(english(10, 5)));
        let opened = room.house.public(LotId(0)).unwrap().opened;
        room.step(opened + at - 1, None, &[]);
        assert_eq!(room.up_to(1, 50) != rejected(Reject::Closed), counts);
    }
}

#[test]
fn while_the_clock_stands_still_nothing_closes_and_each_close_moves_along() {
    let mut room = Room::with(&[(1, 500)], terms(english(10, 5)));
    let closes = room.house.public(LotId(0)).unwrap().closes;
    room.step(room.tick + 10, Some(ClockOrder::Pause), &[]);
    assert_eq!(
        room.out.events[0].what,
        LotEventKind::Paused { since: room.tick }
    );
    room.step(room.tick + 500, None, &[]);
    assert_eq!(room.up_to(1, 50), accepted(BidStanding::Leads, 1));
    room.step(room.tick + 9, Some(ClockOrder::Resume), &[]);
    let (opened, moved) = (room.house.public(LotId(0)).unwrap().opened, closes + 510);
    assert_eq!(
        room.out.events[0].what,
        LotEventKind::Resumed {
            opened,
            closes: moved
        }
    );
    room.step(moved - 1, None, &[]);
    assert!(room.out.events.is_empty());
    room.step(moved, None, &[]);
    assert_eq!(room.money(1), [490, 0, 10]);
}
