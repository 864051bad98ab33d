//! Tests of the rules: as stories, and against a slow model.

mod limits;
mod model;
mod rules;
mod sales;
mod stories;
mod wire;

use truetick_netcode::session::UserId;

use super::house::{House, HouseRules, Output};
use super::money::{Amount, Currency};
use super::order::{
    Action, Admin, Answer, Bid, BidStanding, ClockOrder, Command, CommandId, Order, Outcome, Reject,
};
use super::terms::{Increments, LotId, Sale, Terms};

const BOSS: UserId = UserId(1_000);
const SELLER: UserId = UserId(999);
const RETENTION: u64 = 50;

fn terms(sale: Sale) -> Terms {
    Terms {
        title: "a clock".into(),
        seller: SELLER,
        sale,
        duration: 100,
        soft_close: None,
    }
}

fn english(start: u64, increment: u64) -> Sale {
    let increments = Increments::flat(Amount(increment));
    Sale::English {
        start: Amount(start),
        increments,
        reserve: None,
        buy_now: None,
    }
}

/// A house with helpers that give it commands.
struct Room {
    house: House,
    tick: u64,
    commands: u64,
    out: Output,
}

impl Room {
    fn new() -> Self {
        let rules = HouseRules {
            currency: Currency::EUR,
            admins: vec![BOSS],
            retention: RETENTION,
        };
        Self {
            house: House::new(rules),
            tick: 0,
            commands: 0,
            out: Output::default(),
        }
    }

    /// A house with users, each with an amount, and with lot 0.
    fn with(users: &[(u64, u64)], terms: Terms) -> Self {
        let mut room = Self::new();
        for (user, amount) in users {
            room.admin(Admin::Deposit {
                user: UserId(*user),
                amount: Amount(*amount),
            });
        }
        assert_eq!(
            room.admin(Admin::Open {
                lot: LotId(0),
                terms
            }),
            done()
        );
        room
    }

    fn step(&mut self, tick: u64, clock: Option<ClockOrder>, orders: &[Order]) {
        self.tick = tick;
        self.out = Output::default();
        self.house.step(tick, clock, orders, &mut self.out);
        let ledger = self.house.ledger();
        assert!(
            ledger
                .accounts()
                .iter()
                .all(|account| account.is_balanced())
        );
    }

    fn wait_until(&mut self, tick: u64) {
        if tick > self.tick {
            self.step(tick, None, &[]);
        }
    }

    fn next(&mut self, command: Command, user: UserId) -> Answer {
        self.commands += 1;
        let order = Order {
            at_ms: 0,
            user,
            sequence: 0,
            id: CommandId(self.commands),
            command,
        };
        self.step(self.tick + 1, None, &[order]);
        self.out.answers[0].answer
    }

    fn admin(&mut self, admin: Admin) -> Outcome {
        outcome(self.next(Command::Admin(admin), BOSS))
    }

    fn deny(&mut self, user: u64, denied: bool) {
        let user = UserId(user);
        assert_eq!(self.admin(Admin::Deny { user, denied }), done());
    }

    fn act(&mut self, user: u64, action: Action) -> Outcome {
        outcome(self.next(bid(0, action), UserId(user)))
    }

    fn up_to(&mut self, user: u64, amount: u64) -> Outcome {
        self.act(user, Action::UpTo(Amount(amount)))
    }

    /// Price and leader of lot 0.
    fn shows(&self) -> (Option<u64>, Option<u32>) {
        let lot = self.house.public(LotId(0)).unwrap();
        (lot.price.map(|price| price.0), lot.leader)
    }

    /// Available, held and paid.
    fn money(&self, user: u64) -> [u64; 3] {
        let account = self
            .house
            .ledger()
            .account(self.house.ledger().find(UserId(user)).unwrap());
        [account.available.0, account.held.0, account.paid.0]
    }
}

fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Receipt(receipt) => receipt.outcome,
        Answer::Conflict => panic!("a conflict"),
    }
}

fn bid(lot: u32, action: Action) -> Command {
    Command::Bid(Bid {
        lot: LotId(lot),
        action,
        currency: Currency::EUR,
        client_time_ms: 0,
    })
}

fn accepted(stands: BidStanding, alias: u32) -> Outcome {
    Outcome::Accepted { stands, alias }
}

fn done() -> Outcome {
    accepted(BidStanding::Done, 0)
}

fn rejected(reject: Reject) -> Outcome {
    Outcome::Rejected(reject)
}
