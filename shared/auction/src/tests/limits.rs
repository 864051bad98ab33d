//! Rules at their limits: repeated names, numbers at the end of their range, full lots, barred
//! users.

use super::*;
use crate::event::{Ending, LotEventKind};
use crate::limits::{FORGOTTEN_PER_STEP, SEALED_BIDDERS};
use crate::terms::Pricing;

fn said(room: &mut Room, user: UserId, id: u64, command: Command) -> Answer {
    let order = Order {
        at_ms: 0,
        user,
        sequence: 0,
        id: CommandId(id),
        command,
    };
    room.step(room.tick + 1, None, &[order]);
    room.out.answers[0].answer
}

#[test]
fn what_those_who_run_the_house_do_is_never_forgotten() {
    let mut room = Room::with(&[(1, 500)], terms(english(10, 5)));
    let admins = [
        Admin::Deposit {
            user: UserId(1),
            amount: Amount(100),
        },
        Admin::Withdraw {
            user: UserId(1),
            amount: Amount(40),
        },
        Admin::Withdraw {
            user: UserId(1),
            amount: Amount(100_000),
        },
        Admin::Deny {
            user: UserId(1),
            denied: false,
        },
        Admin::Cancel { lot: LotId(0) },
    ];
    let mut first = Vec::new();
    for round in 0..3 {
        for (id, admin) in (u64::MAX - 4..=u64::MAX).zip(&admins) {
            let answer = said(&mut room, BOSS, id, Command::Admin(admin.clone()));
            if round == 0 {
                first.push(answer);
            }
            assert_eq!(
                answer,
                first[(id - (u64::MAX - 4)) as usize],
                "{admin:?}, round {round}"
            );
        }
        assert_eq!(room.money(1), [560, 0, 0]);
        room.step(room.tick + 3 * RETENTION, None, &[]);
        let ledger = room.house.ledger();
        let kept: usize = ledger
            .accounts()
            .iter()
            .map(|account| account.receipts().count())
            .sum();
        assert_eq!(ledger.kept(), kept as u64);
    }
}

#[test]
fn no_lots_number_bars_another() {
    let mut room = Room::new();
    let open = |room: &mut Room, lot| {
        room.admin(Admin::Open {
            lot: LotId(lot),
            terms: terms(english(10, 5)),
        })
    };
    for lot in [u32::MAX, 0, 1 << 31, u32::MAX - 1, 1, 5, 4] {
        assert_eq!(open(&mut room, lot), done(), "{lot}");
        assert_eq!(open(&mut room, lot), rejected(Reject::LotExists), "{lot}");
    }
    // A number stays used after its lot is removed.
    room.step(room.tick + 500, None, &[]);
    room.step(room.tick + 2 * RETENTION, None, &[]);
    assert!(room.house.lots().is_empty());
    assert_eq!(open(&mut room, u32::MAX), rejected(Reject::LotExists));
    assert_eq!(open(&mut room, u32::MAX - 2), done());
}

#[test]
fn of_more_sealed_offers_than_are_kept_the_best_are() {
    for (pricing, pays) in [(Pricing::First, 900), (Pricing::Second, 800)] {
        let sale = Sale::Sealed {
            minimum: Amount(2),
            reserve: None,
            pricing,
        };
        let (first, many, sealed) = (2_001, 2_000 + SEALED_BIDDERS as u64, BidStanding::Sealed);
        let users: Vec<_> = (first..=many + 3).map(|user| (user, 1_000)).collect();
        let mut room = Room::with(&users, terms(sale));
        let is_sealed =
            |outcome| matches!(outcome, Outcome::Accepted { stands, .. } if stands == sealed);
        let orders = (first..=many).map(|user| Order {
            at_ms: 0,
            user: UserId(user),
            sequence: user,
            id: CommandId(user),
            command: bid(0, Action::UpTo(Amount(if user == first { 3 } else { 2 }))),
        });
        room.step(room.tick + 1, None, &orders.collect::<Vec<_>>());
        assert_eq!(room.up_to(many + 1, 2), rejected(Reject::Full));
        assert_eq!(room.money(many), [998, 2, 0]);
        assert!(is_sealed(room.up_to(many + 1, 900)));
        // The latest of the lowest offers was released, and its bidder may offer more.
        assert_eq!(
            (room.money(many), room.money(many - 1)),
            ([1_000, 0, 0], [998, 2, 0])
        );
        assert!(is_sealed(room.up_to(many + 2, 800)));
        assert!(is_sealed(room.up_to(many, 5)));
        assert!(is_sealed(room.up_to(first + 1, 4)));
        assert_eq!(room.up_to(many + 3, 1_001), rejected(Reject::Funds));
        assert_eq!(room.house.lots()[&LotId(0)].offers.len(), SEALED_BIDDERS);
        room.step(room.tick + 200, None, &[]);
        let LotEventKind::Ended {
            ending: Ending::Sold { price, .. },
            revealed,
        } = &room.out.events[0].what
        else {
            panic!("{:?}", room.out.events)
        };
        assert_eq!((price.0, revealed.len()), (pays, SEALED_BIDDERS));
        assert_eq!(room.money(many + 1), [1_000 - pays, 0, pays]);
    }
}

#[test]
fn who_is_denied_leads_nothing_and_keeps_what_was_bought() {
    let mut room = Room::with(&[(1, 500), (2, 500), (3, 500)], terms(english(10, 5)));
    let increments = Increments::flat(Amount(5));
    let buy_now = Sale::English {
        start: Amount(10),
        increments,
        reserve: None,
        buy_now: Some(Amount(50)),
    };
    let sealed = Sale::Sealed {
        minimum: Amount(1),
        reserve: None,
        pricing: Pricing::First,
    };
    for (lot, sale) in [(1, buy_now), (2, sealed), (3, english(10, 5))] {
        assert_eq!(
            room.admin(Admin::Open {
                lot: LotId(lot),
                terms: terms(sale)
            }),
            done()
        );
    }
    room.up_to(1, 40);
    room.up_to(2, 60);
    room.up_to(3, 90);
    room.next(bid(1, Action::BuyNow), UserId(3));
    room.next(bid(2, Action::UpTo(Amount(70))), UserId(3));
    room.next(bid(3, Action::UpTo(Amount(80))), UserId(3));
    assert_eq!(room.money(3), [500 - 90 - 50 - 70 - 80, 240, 50]);
    // A bidder who does not lead is removed, too.
    room.deny(2, true);
    assert_eq!(room.shows(), (Some(45), Some(3)));
    room.deny(3, true);
    assert_eq!(
        (room.shows(), room.money(1)),
        ((Some(10), Some(1)), [460, 40, 0])
    );
    assert_eq!(room.money(3), [450, 0, 50]);
    assert_eq!(room.house.public(LotId(3)).unwrap().leader, None);
    assert_eq!(room.up_to(3, 95), rejected(Reject::Denied));
    // Lifting the bar restores no retracted bid.
    room.deny(3, false);
    assert_eq!(room.shows(), (Some(10), Some(1)));
    assert_eq!(room.up_to(3, 95), accepted(BidStanding::Leads, 3));
}

#[test]
fn a_house_keeps_an_offer_for_each_bidder_and_not_for_each_bid() {
    let mut room = Room::with(&[(1, 1 << 40), (2, 1 << 40)], terms(english(10, 1)));
    let orders = (1..20_000u64).map(|number| Order {
        at_ms: 0,
        user: UserId(number % 2 + 1),
        sequence: number,
        id: CommandId(1_000 + number),
        command: bid(0, Action::UpTo(Amount(number * 10))),
    });
    room.step(room.tick + 1, None, &orders.collect::<Vec<_>>());
    let lot = &room.house.lots()[&LotId(0)];
    assert_eq!((lot.offers.len(), lot.offers.taken()), (2, 19_999));
    // The work of a retraction is bounded by the offers that it removes, not by all bids.
    let order = Order {
        at_ms: 0,
        user: BOSS,
        sequence: 0,
        id: CommandId(9),
        command: Command::Admin(Admin::Retract {
            lot: LotId(0),
            user: UserId(2),
        }),
    };
    let orders = [Order {
        id: CommandId(u64::MAX),
        ..order
    }];
    let (mut step, mut work, mut out) =
        (room.house.begin(room.tick + 1, None), 10, Output::default());
    assert!(room.house.advance(&mut step, &orders, &mut work, &mut out));
    room.tick += 1;
    assert_eq!(
        (room.shows(), work >= 6),
        ((Some(10), Some(2)), true),
        "{work}"
    );
    // Each step removes a bounded number of receipts.
    room.step(room.tick + 200, None, &[]);
    let mut before = room.house.ledger().kept();
    room.step(room.tick + RETENTION, None, &[]);
    while room.house.ledger().kept() < before {
        assert!(before - room.house.ledger().kept() <= FORGOTTEN_PER_STEP as u64);
        before = room.house.ledger().kept();
        room.step(room.tick + 1, None, &[]);
    }
    assert_eq!(before, 4, "what those who run the house did");
}
