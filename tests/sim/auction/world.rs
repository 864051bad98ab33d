//! Runs a plan of the auction house in steps of a millisecond.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_auction::house::HouseRules;
use truetick_auction::money::{Amount, Currency};
use truetick_client_sim::auction::bidder::{Bidder, BidderConfig};
use truetick_client_sim::auction::strategy::{House, Strategy};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::session::UserId;
use truetick_netcode::time::Timestamp;
use truetick_server::server::Server;

use super::check::AuctionFigures;
use super::commits::SimDriver;
use super::folder::SimFolder;
pub use super::member::Member;
use super::plan::{AuctionPlan, Trouble};
use crate::tokens::{SERVER, tokens, wall};

/// The administrator of the house.
pub const KEEPER: UserId = UserId(1 << 41);

/// Ticks per second.
pub const RATE: u32 = 60;

/// Length of a step.
const STEP: Duration = Duration::from_millis(1);

/// Time after the last failure within which everyone must have all answers.
const CALM: Duration = Duration::from_secs(45);

/// Further time in which clients that lost the server before they got a ticket notice that and
/// rejoin: longer than a session's timeout.
const AFTERWARDS: Duration = Duration::from_secs(14);

/// The simulated auction house: server, disk, links and clients.
pub struct AuctionWorld {
    /// The plan of the run.
    pub plan: AuctionPlan,
    /// Current virtual time.
    pub now: Timestamp,
    /// The server's disk.
    pub folder: SimFolder,
    /// The keeper, the bidders and the watchers, in this order.
    pub members: Vec<Member>,
    /// Events of the run as text.
    pub trace: Vec<String>,
    /// Violations as text.
    pub wrong: Vec<String>,
    pub(super) server: Option<(Server, SimDriver)>,
    /// Time of the server's next start.
    pub(super) start_at: Option<Timestamp>,
    /// Ends of the current failures.
    pub(super) stall_until: Timestamp,
    outage_until: Timestamp,
    pub(super) heal_disk_at: Option<Timestamp>,
    pub(super) lives: u64,
    tokens: TokenSource,
    pub(super) rng: Xoshiro256PlusPlus,
}

/// Returns the rules of every simulated house.
pub fn rules() -> HouseRules {
    HouseRules {
        currency: Currency::EUR,
        admins: vec![KEEPER],
        retention: 1 << 30,
    }
}

/// What a member does in the auction house.
struct MemberRole {
    user: UserId,
    strategy: Strategy,
    house: Option<House>,
}

/// The members of a plan: the keeper, then the bidders, then the watchers.
fn roles(plan: &AuctionPlan) -> impl Iterator<Item = MemberRole> {
    let house = House {
        accounts: plan.bidders as u64,
        deposit: Amount(5_000_000),
        lots: plan.lots,
        duration: 120,
        rate: RATE,
        only_english: false,
    };
    let keeper = MemberRole {
        user: KEEPER,
        strategy: Strategy::Keeper,
        house: Some(house),
    };
    let bidders = (0..plan.bidders).map(|place| MemberRole {
        user: UserId(place as u64 + 1),
        strategy: Strategy::of(place),
        house: None,
    });
    let watchers = (0..plan.watchers).map(|place| MemberRole {
        user: UserId(1_000 + place as u64),
        strategy: Strategy::Watcher,
        house: None,
    });
    std::iter::once(keeper).chain(bidders).chain(watchers)
}

impl AuctionWorld {
    /// Creates a world at its start.
    pub fn new(plan: AuctionPlan) -> Self {
        let now = Timestamp::from_millis(1_000);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
        let mut tokens = tokens(plan.seed);
        let roles = roles(&plan).enumerate();
        let members = roles.map(|(place, role)| {
            let config = BidderConfig {
                user: role.user,
                token: tokens.issue(role.user, 0, wall(now)),
                strategy: role.strategy,
                house: role.house,
                seed: rng.random(),
                pace: plan.pace,
            };
            let mut bidder = Bidder::new(config, now);
            bidder.keep_events();
            let [up, down] = [(); 2].map(|()| LinkSim::new(plan.link, rng.random()));
            Member::new(bidder, place, up, down)
        });
        let members = members.collect();
        let folder = SimFolder::new(plan.seed ^ 0xd15c);
        Self {
            now,
            folder,
            members,
            trace: Vec::new(),
            wrong: Vec::new(),
            server: None,
            start_at: Some(now),
            stall_until: now,
            outage_until: now,
            heal_disk_at: None,
            lives: 0,
            tokens,
            rng,
            plan,
        }
    }

    /// Returns the server, `None` while it is down.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref().map(|(server, _)| server)
    }

    /// Returns how often a commit of the current house lacked space and was postponed.
    pub fn waits(&self) -> u64 {
        self.server.as_ref().map_or(0, |(_, driver)| driver.waits())
    }

    pub(super) fn note(&mut self, what: impl AsRef<str>) {
        self.trace.push(format!(
            "{:7.3} s  {}",
            self.now.as_micros() as f64 / 1e6,
            what.as_ref()
        ));
    }

    /// Lets a member's machine sleep: nothing runs on it, and its clock stands still.
    pub fn sleep(&mut self, member: usize, time: Duration) {
        self.note(format!("member {member} sleeps"));
        let member = &mut self.members[member];
        (member.wakes_at, member.slept) = (self.now + time, member.slept + time);
    }

    /// Starts a failure.
    pub fn inflict(&mut self, trouble: Trouble) {
        let lasting = Duration::from_millis(self.rng.random_range(400..2_000));
        self.note(format!("{trouble:?}"));
        match trouble {
            Trouble::Crash => self.crash(false),
            Trouble::PowerCut => self.crash(true),
            Trouble::Stall => self.stall_until = self.now + lasting,
            Trouble::Outage => self.outage_until = self.now + lasting,
            Trouble::Full => {
                self.folder.set_full(true);
                self.heal_disk_at = Some(self.now + lasting);
            }
            Trouble::Failing => {
                self.folder.set_failing(true);
                self.heal_disk_at = Some(self.now + lasting);
            }
        }
    }

    /// Advances the world by a millisecond.
    pub fn step(&mut self) {
        self.now += STEP;
        self.heal_disk();
        if self.start_at.take_if(|at| *at <= self.now).is_some() {
            self.start();
        }
        let passes = self.now >= self.outage_until;
        self.serve(passes);
        let (true_now, lives) = (self.now, self.lives);
        for member in self
            .members
            .iter_mut()
            .filter(|member| true_now >= member.wakes_at)
        {
            let now = member.shown(true_now);
            while let Some(bytes) = member.down.pop(true_now) {
                member.bidder.receive(SocketAddr::from(SERVER), &bytes, now);
            }
            if member.bidder.wants_token() {
                let at = *member
                    .rejoin_at
                    .get_or_insert(true_now + Duration::from_millis(200));
                if at <= true_now {
                    member.rejoin_at = None;
                    let token = self.tokens.issue(member.bidder.user(), 0, wall(true_now));
                    member.bidder.rejoin(token, now);
                }
            }
            if now >= member.bidder.next_timeout() {
                member.bidder.advance(now);
            }
            while let Some((_, bytes)) = member.bidder.poll_transmit() {
                if passes && lives > 0 {
                    member.up.push(&bytes.into_bytes(), true_now);
                }
            }
        }
        let wrong = self
            .members
            .iter()
            .find_map(|member| member.wrong_clock(true_now));
        self.wrong.extend(wrong);
    }

    /// Runs for a time span or until a violation.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && self.wrong.is_empty() {
            self.step();
        }
    }

    /// Runs until `done` holds; returns false if it does not within `time`.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + time;
        while self.now < end && self.wrong.is_empty() {
            self.step();
            if done(self) {
                return true;
            }
        }
        false
    }

    /// Runs the plan and then on until everyone has all answers; then checks all invariants.
    pub fn run(&mut self) -> AuctionFigures {
        let begin = self.now;
        for (at, trouble) in self.plan.troubles.clone() {
            let until = begin + Duration::from_millis(at);
            self.run_for(until.since(self.now));
            self.inflict(trouble);
        }
        let end = begin + self.plan.length;
        self.run_for(end.since(self.now));
        let (clean, all) = (
            LinkConfig {
                latency: self.plan.link.latency,
                ..LinkConfig::default()
            },
            CALM,
        );
        for member in &mut self.members {
            member.up.set_config(clean);
            member.down.set_config(clean);
            member.bidder.be_still();
        }
        self.note("calm");
        let answered = self.run_until(all, |world| {
            let is_done = |member: &Member| {
                let client = member.bidder.client();
                client.unanswered() == 0 && client.state() == ClientState::Playing
            };
            world.server.is_some()
                && world.heal_disk_at.is_none()
                && world.members.iter().all(is_done)
        });
        self.run_for(AFTERWARDS);
        if !answered && self.wrong.is_empty() {
            self.wrong.push("not everyone has all answers".into());
        }
        self.check()
    }
}
