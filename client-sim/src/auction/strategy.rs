//! The decisions of a bidder.

use std::time::Duration;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_auction::client::AuctionClient;
use truetick_auction::money::{Amount, Currency};
use truetick_auction::order::{Action, Admin, Bid, Command};
use truetick_auction::public_lot::{PublicLot, PublicSale};
use truetick_auction::terms::{Dutch, Extend, Increments, LotId, Pricing, Sale, SoftClose, Terms};
use truetick_netcode::session::UserId;
use truetick_netcode::time::Timestamp;

/// How a bidder behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Watches and never bids.
    Watcher,
    /// Bids its maximum now and then.
    Proxy,
    /// Bids when a lot is about to close.
    Sniper,
    /// Bids in bursts.
    Burst,
    /// Sends bids that no house accepts.
    Fool,
    /// Now and then drops all state but its own commands, and submits the recent ones again.
    Forgetful,
    /// Only raises the price, evenly.
    Raiser,
    /// Runs the house: opens accounts and lots.
    Keeper,
}

impl Strategy {
    /// The strategy of the bidder with this index: strategies alternate.
    pub fn of(place: usize) -> Self {
        [
            Self::Proxy,
            Self::Sniper,
            Self::Burst,
            Self::Proxy,
            Self::Forgetful,
            Self::Proxy,
            Self::Sniper,
            Self::Fool,
        ][place % 8]
    }

    /// Mean time between two decisions.
    pub fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Watcher => 2_000,
            Self::Proxy | Self::Forgetful => 1_500,
            Self::Sniper => 200,
            Self::Burst => 5_000,
            Self::Fool => 2_500,
            Self::Keeper => 500,
            Self::Raiser => 1_000,
        })
    }
}

/// What a house's keeper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct House {
    /// Number of accounts to open, for users from 1 on.
    pub accounts: u64,
    /// Deposit in each account.
    pub deposit: Amount,
    /// Number of lots open at once.
    pub lots: usize,
    /// Least time for which a lot is open, in ticks; the longest is twice that.
    pub duration: u64,
    /// Ticks per second.
    pub rate: u32,
    /// Whether all lots are English auctions without a reserve.
    pub only_english: bool,
}

/// The seller of all lots; a keeper's bidders are numbered from 1.
pub const SELLER: UserId = UserId(1 << 40);

/// Titles of lots.
const THINGS: [&str; 12] = [
    "a brass sextant",
    "the last umbrella",
    "a chess clock",
    "a map of nowhere",
    "two left boots",
    "a singing kettle",
    "an honest mirror",
    "a jar of fog",
    "the missing piece",
    "a pocket lighthouse",
    "a patient spider",
    "a slightly used comet",
];

/// Random terms of a lot.
pub fn terms(number: u32, house: &House, rng: &mut Xoshiro256PlusPlus) -> Terms {
    let price = |rng: &mut Xoshiro256PlusPlus, range: std::ops::Range<u64>| {
        Amount(rng.random_range(range) * 100)
    };
    let sale = match rng.random_range(0..if house.only_english { 7 } else { 10 }) {
        0..7 => Sale::English {
            start: price(rng, 5..50),
            increments: Increments(vec![
                (Amount::ZERO, Amount(100)),
                (Amount(10_000), Amount(500)),
                (Amount(50_000), Amount(2_500)),
            ]),
            reserve: (!house.only_english && rng.random_bool(0.3)).then(|| price(rng, 50..150)),
            buy_now: (!house.only_english && rng.random_bool(0.1)).then(|| price(rng, 300..600)),
        },
        7 => Sale::Dutch(Dutch {
            start: price(rng, 300..600),
            floor: price(rng, 10..30),
            step: Amount(500),
            every: house.rate / 4,
        }),
        pricing => Sale::Sealed {
            minimum: price(rng, 5..50),
            reserve: None,
            pricing: if pricing == 8 {
                Pricing::First
            } else {
                Pricing::Second
            },
        },
    };
    let duration = rng.random_range(house.duration..=2 * house.duration);
    let rate = house.rate;
    let soft_close = SoftClose {
        window: 3 * rate,
        extension: 2 * rate,
        mode: Extend::Add,
        most: 30 * rate,
        hard_end: None,
    };
    let title = format!("{} ({number})", THINGS[number as usize % THINGS.len()]);
    Terms {
        title,
        seller: SELLER,
        sale,
        duration,
        soft_close: Some(soft_close),
    }
}

fn bid(lot: LotId, action: Action, now: Timestamp) -> Command {
    Command::Bid(Bid {
        lot,
        action,
        currency: Currency::EUR,
        client_time_ms: now.as_micros() / 1_000,
    })
}

/// A sensible bid on a lot, if there is one. `leads` is whether the bidder leads already.
fn sensible(
    lot: &PublicLot,
    tick: u64,
    leads: bool,
    rng: &mut Xoshiro256PlusPlus,
) -> Option<Action> {
    let asks = lot.next_bid(tick);
    match &lot.terms.sale {
        PublicSale::English {
            buy_now: Some(_), ..
        } if lot.leader.is_none() && rng.random_bool(0.02) => Some(Action::BuyNow),
        PublicSale::English { .. } if leads => None,
        PublicSale::English { .. } => {
            Some(Action::UpTo(Amount(asks.0 + rng.random_range(0..4_000))))
        }
        PublicSale::Dutch(_) => rng.random_bool(0.02).then_some(Action::Take(asks)),
        PublicSale::Sealed { .. } => rng
            .random_bool(0.1)
            .then(|| Action::UpTo(Amount(asks.0 + rng.random_range(0..20_000)))),
    }
}

/// A bid that no house accepts.
fn foolish(lot: LotId, now: Timestamp, rng: &mut Xoshiro256PlusPlus) -> Command {
    let action = match rng.random_range(0..5) {
        0 => Action::UpTo(Amount::ZERO),
        1 => Action::UpTo(Amount(u64::MAX)),
        2 => Action::Take(Amount(1)),
        3 => Action::UpTo(Amount(1)),
        _ => Action::UpTo(Amount(5_000)),
    };
    let mut command = bid(
        if rng.random_bool(0.2) {
            LotId(u32::MAX)
        } else {
            lot
        },
        action,
        now,
    );
    if let Command::Bid(bid) = &mut command {
        bid.client_time_ms = rng.random();
        if rng.random_bool(0.3) {
            bid.currency = Currency(*b"XAU");
        }
    }
    command
}

/// The lots that a bidder watches, at a moment.
#[derive(Clone, Copy)]
pub(crate) struct Market<'a> {
    /// The client that knows the lots.
    pub client: &'a AuctionClient,
    /// Ids of the lots that the bidder watches.
    pub lots: &'a [LotId],
    /// The time on the bidder's clock.
    pub now: Timestamp,
}

/// The commands of a bidder on the lots that it watches. `leads` returns whether the bidder leads a
/// lot.
pub(crate) fn think(
    strategy: Strategy,
    market: Market<'_>,
    leads: impl Fn(&PublicLot) -> bool,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<Command> {
    let Market { client, lots, now } = market;
    let (Some(tick), false) = (client.tick(now), lots.is_empty()) else {
        return Vec::new();
    };
    let any = lots[rng.random_range(0..lots.len())];
    if strategy == Strategy::Fool {
        return vec![foolish(any, now, rng)];
    }
    let Some(lot) = client.lot(any).filter(|lot| lot.ending.is_none()) else {
        return Vec::new();
    };
    if strategy == Strategy::Raiser {
        let above = Amount(lot.next_bid(tick).0 + rng.random_range(0..1_000) * 100);
        return vec![bid(any, Action::UpTo(above), now)];
    }
    let late = client
        .countdown(any, now)
        .is_some_and(|left| left.left < Duration::from_millis(1_500));
    let Some(action) = sensible(lot, tick, leads(lot), rng) else {
        return Vec::new();
    };
    match strategy {
        Strategy::Sniper if !late => Vec::new(),
        Strategy::Burst => {
            let Action::UpTo(first) = action else {
                return vec![bid(any, action, now)];
            };
            (0..10)
                .map(|step| bid(any, Action::UpTo(Amount(first.0 + step * 700)), now))
                .collect()
        }
        _ => vec![bid(any, action, now)],
    }
}

/// What a keeper has done in its house so far.
#[derive(Clone, Copy, Debug)]
pub struct HouseProgress {
    /// Number of accounts with a deposit.
    pub funded: u64,
    /// Number of lots opened.
    pub opened: u32,
    /// Number of lots that are still open.
    pub open: usize,
}

/// The next commands of a keeper: deposits until all accounts are funded, then new lots in place of
/// closed ones.
pub fn keep(house: &House, progress: HouseProgress, rng: &mut Xoshiro256PlusPlus) -> Vec<Command> {
    let HouseProgress {
        funded,
        opened,
        open,
    } = progress;
    if funded < house.accounts {
        let next = funded + 1..=(funded + 50).min(house.accounts);
        return next
            .map(|user| {
                Command::Admin(Admin::Deposit {
                    user: UserId(user),
                    amount: house.deposit,
                })
            })
            .collect();
    }
    let new = opened..opened + house.lots.saturating_sub(open) as u32;
    new.map(|lot| {
        Command::Admin(Admin::Open {
            lot: LotId(lot),
            terms: terms(lot, house, rng),
        })
    })
    .collect()
}
