//! Runs a plan of the auction house in steps of a millisecond.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_client_sim::auction::bidder::Bidder;
use truetick_client_sim::auction::strategy::{House, Strategy};
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::session::UserId;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transport};
use truetick_server::auction::entry::HouseReplica;
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::journal::JournalConfig;
use truetick_server::journal::open::open;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_shared::auction::house::HouseRules;
use truetick_shared::auction::money::{Amount, Currency};

use super::check::AuctionFigures;
use super::commits::{SimDriver, commits};
use super::folder::SimFolder;
use super::plan::{AuctionPlan, Trouble};
use crate::tokens::{SERVER, expect_rooms, session_config, tokens, wall};

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

/// Time after a sleep within which a client has received something from the server.
const AWAKE: Duration = Duration::from_millis(1_500);

/// One client with its links.
pub struct Member {
    /// The client.
    pub bidder: Bidder,
    address: SocketAddr,
    up: LinkSim,
    down: LinkSim,
    rejoin_at: Option<Timestamp>,
    /// The client sleeps until this time, and its clock stands still.
    wakes_at: Timestamp,
    slept: Duration,
}

impl Member {
    /// The time that its clock shows.
    fn shown(&self, now: Timestamp) -> Timestamp {
        now - self.slept
    }

    /// Checks its estimate of the server's clock. It cannot detect a sleep before it receives
    /// something.
    fn wrong_clock(&self, now: Timestamp) -> Option<String> {
        let (server_us, uncertainty) = self.bidder.client().server_time(self.shown(now))?;
        let wrong = server_us.abs_diff(now.as_micros() as i64);
        let is_wrong =
            now >= self.wakes_at + AWAKE && u128::from(wrong) > uncertainty.as_micros() + 1;
        is_wrong.then(|| {
            format!(
                "{:?} says its clock is wrong by {uncertainty:?}, but it is by {wrong} us",
                self.bidder.user()
            )
        })
    }

    /// Sets the properties of its link from the server.
    pub fn throttle(&mut self, link: LinkConfig) {
        self.down.set_config(link);
    }
}

/// The simulated auction house: server, disk, links and clients.
pub struct AuctionWorld {
    /// The plan of the run.
    pub plan: AuctionPlan,
    /// Current virtual time.
    pub now: Timestamp,
    /// The server's disk.
    pub folder: SimFolder,
    /// All clients.
    pub members: Vec<Member>,
    /// Events of the run as text.
    pub trace: Vec<String>,
    /// Violations as text.
    pub wrong: Vec<String>,
    server: Option<(Server, SimDriver)>,
    /// Time of the server's next start.
    start_at: Option<Timestamp>,
    /// Ends of the current failures.
    stall_until: Timestamp,
    outage_until: Timestamp,
    heal_disk_at: Option<Timestamp>,
    lives: u64,
    tokens: TokenSource,
    rng: Xoshiro256PlusPlus,
}

/// Returns the rules of every simulated house.
pub fn rules() -> HouseRules {
    HouseRules {
        currency: Currency::EUR,
        admins: vec![KEEPER],
        retention: 1 << 30,
    }
}

struct Outbox(Vec<(SocketAddr, Vec<u8>)>);

impl Transport for Outbox {
    fn send(&mut self, to: PeerAddr, bytes: &[u8]) {
        self.0.push((to.address, bytes.to_vec()));
    }

    fn flush(&mut self) {}
}

impl AuctionWorld {
    /// Creates a world at its start.
    pub fn new(plan: AuctionPlan) -> Self {
        let now = Timestamp::from_millis(1_000);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
        let mut tokens = tokens(plan.seed);
        let house = House {
            accounts: plan.bidders as u64,
            deposit: Amount(5_000_000),
            lots: plan.lots,
            duration: 120,
            rate: RATE,
            only_english: false,
        };
        let keeper = (KEEPER, Strategy::Keeper, Some(house));
        let bidders =
            (0..plan.bidders).map(|place| (UserId(place as u64 + 1), Strategy::of(place), None));
        let watchers =
            (0..plan.watchers).map(|place| (UserId(1_000 + place as u64), Strategy::Watcher, None));
        let members = std::iter::once(keeper)
            .chain(bidders)
            .chain(watchers)
            .enumerate();
        let members = members.map(|(place, (user, strategy, house))| {
            let token = tokens.issue(user, 0, wall(now));
            let mut bidder = Bidder::new(
                (user, token),
                strategy,
                house,
                (rng.random(), plan.pace),
                now,
            );
            bidder.keep_events();
            let address = SocketAddr::from(([127, 0, 0, 1], 50_000 + place as u16));
            let (up, down) = (
                LinkSim::new(plan.link, rng.random()),
                LinkSim::new(plan.link, rng.random()),
            );
            Member {
                bidder,
                address,
                up,
                down,
                rejoin_at: None,
                wakes_at: Timestamp::default(),
                slept: Duration::ZERO,
            }
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

    fn note(&mut self, what: impl AsRef<str>) {
        self.trace.push(format!(
            "{:7.3} s  {}",
            self.now.as_micros() as f64 / 1e6,
            what.as_ref()
        ));
    }

    fn start(&mut self) {
        self.lives += 1;
        let mut replica = HouseReplica::default();
        let config = JournalConfig {
            segment_bytes: self.plan.segment_bytes,
            keep: 1_000_000,
        };
        let journal = match open(self.folder.clone(), config, self.plan.seed, &mut replica) {
            Ok(journal) => journal,
            // The operator tries again.
            Err(error) if self.heal_disk_at.is_some() => {
                self.start_at = Some(self.now + Duration::from_millis(300));
                return self.note(format!("start {}: {error}", self.lives));
            }
            Err(error) => {
                self.wrong
                    .push(format!("the journal does not open: {error}"));
                return;
            }
        };
        self.note(format!("start {}: entry {}", self.lives, journal.durable()));
        let (port, driver) = commits(journal, self.folder.clone());
        let room = RoomConfig {
            tick_rate: RATE,
            max_clients: 200,
            ..RoomConfig::default()
        };
        let rate = Rate {
            per_second: 2_000,
            burst: 2_000,
        };
        let config = AuctionConfig {
            room,
            rules: rules(),
            rate,
            receipts: 1 << 20,
        };
        let room = AuctionRoom::open(config, replica, Box::new(port), self.now);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&(self.plan.seed ^ self.lives << 48).to_le_bytes());
        let mut server = Server::new(session_config(), secret, self.now, wall(self.now));
        server.add_room(Box::new(room));
        self.server = Some((server, driver));
    }

    fn crash(&mut self, power: bool) {
        let Some((_, driver)) = self.server.take() else {
            return;
        };
        driver.crash(self.rng.random_bool(0.7));
        if power {
            self.folder.power_cut();
        }
        self.start_at = Some(self.now + Duration::from_millis(self.rng.random_range(50..800)));
        self.note(if power {
            "the power is cut"
        } else {
            "the server is killed"
        });
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

    /// Repairs the disk when it is due. A house whose journal failed is restarted; one that only
    /// lacked space continues by itself.
    fn heal_disk(&mut self) {
        if self.heal_disk_at.take_if(|at| *at <= self.now).is_some() {
            self.folder.set_full(false);
            self.folder.set_failing(false);
            if self
                .server
                .as_ref()
                .is_some_and(|(_, driver)| driver.has_failed())
            {
                self.crash(false);
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

    fn serve(&mut self, passes: bool) {
        let now = self.now;
        let mut out = Outbox(Vec::new());
        for member in &mut self.members {
            while let Some(bytes) = member.up.pop(now) {
                if let Some((server, _)) = &mut self.server {
                    server.receive(member.address, &bytes, now);
                }
            }
        }
        let Some((server, driver)) = &mut self.server else {
            return;
        };
        let latency = match now < self.stall_until {
            true => Duration::from_millis(self.rng.random_range(400..900)),
            false => Duration::from_micros(self.rng.random_range(300..6_000)),
        };
        driver.advance(now, latency, self.rng.random_bool(0.7));
        server.send_replies(&mut out);
        let mut time = || now;
        if server
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            server.set_wall_clock(now, wall(now));
            server.tick(&mut time, &mut out);
            expect_rooms(server);
        } else {
            server.flush_pending(&mut time, &mut out);
        }
        for (to, bytes) in out.0 {
            let member = self.members.get_mut(usize::from(to.port()) - 50_000);
            if let Some(member) = member.filter(|_| passes) {
                member.down.push(&bytes, now);
            }
        }
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
