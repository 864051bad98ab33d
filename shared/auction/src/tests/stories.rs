//! What a house does with commands and with time, by example: repeats, refusals, cancellations,
//! retractions, closes and pauses.

use super::*;
use crate::event::LotEventKind;

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
