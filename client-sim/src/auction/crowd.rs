//! Many bidders on one thread, each with a socket of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use truetick_netcode::client::state::ClientState;
use truetick_netcode::session::UserId;
use truetick_netcode::time::Timestamp;
use truetick_transport::clock;

use super::bidder::{Bidder, BidderConfig};
use super::figures::CrowdFigures;
use super::strategy::{House, Strategy};
use crate::client_socket::{self, ClientSocket};
use crate::connect_options::ConnectOptions;
use crate::token_source::TokenSource;

/// Time between two bidders' joining.
const JOIN_SPACING: Duration = Duration::from_millis(2);

/// Least time between two rounds over all bidders: the kernel stamps arrivals, so a later round
/// costs nothing.
const ROUND: Duration = Duration::from_micros(500);

/// Pause before a bidder whose session is over gets another token.
const REJOIN_INTERVAL: Duration = Duration::from_millis(200);

/// Time within which a bidder that left joins again: the pause, an outage of a second, and the
/// handshake on a path of half a second.
const REJOIN_TIME: Duration = Duration::from_secs(3);

/// Configuration of a crowd.
#[derive(Clone, Debug)]
pub struct CrowdConfig {
    /// How the bidders connect to the server.
    pub connect_options: ConnectOptions,
    /// The auction's room.
    pub room: u16,
    /// A relay to the server; `None` to send to the address in the tokens.
    pub relay: Option<SocketAddr>,
    /// User id and strategy of each bidder.
    pub bidders: Vec<(UserId, Strategy)>,
    /// What the keeper among them does.
    pub house: House,
    /// Divisor of the pauses of all strategies.
    pub pace: f64,
    /// Seed of everything that the bidders do.
    pub seed: u64,
    /// Whether all bidders keep every event that they receive; otherwise only the keeper does.
    pub keep_events: bool,
}

/// A running crowd.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    still: Arc<AtomicBool>,
    figures: Arc<Mutex<CrowdFigures>>,
    thread: JoinHandle<io::Result<Vec<Bidder>>>,
}

struct Member {
    bidder: Bidder,
    socket: ClientSocket,
    start: Timestamp,
    rejoin_at: Option<Timestamp>,
    /// When the bidder was last seen in the room.
    present_at: Option<Timestamp>,
}

struct Run {
    members: Vec<Member>,
    tokens: TokenSource,
    room: u16,
    stop: Arc<AtomicBool>,
    still: Arc<AtomicBool>,
    shared: Arc<Mutex<CrowdFigures>>,
    /// Whether all bidders were in the room once.
    measures: bool,
}

impl Crowd {
    /// Starts all bidders, each with a token of its own.
    ///
    /// # Errors
    /// A socket or the thread cannot be created.
    pub fn start(config: &CrowdConfig, mut tokens: TokenSource) -> io::Result<Self> {
        let begin = clock::now();
        let mut members = Vec::with_capacity(config.bidders.len());
        for (place, (user, strategy)) in config.bidders.iter().enumerate() {
            let start = begin + JOIN_SPACING * place as u32;
            let token = tokens.issue(*user, config.room, clock::unix_now());
            let house = (*strategy == Strategy::Keeper).then_some(config.house);
            let seed = config.seed.wrapping_mul(10_007) + place as u64;
            let server = token.servers[0];
            let bidder = BidderConfig {
                user: *user,
                token,
                strategy: *strategy,
                house,
                seed,
                pace: config.pace,
            };
            let bidder = Bidder::new(bidder, start);
            let mut bidder = bidder.transport(config.connect_options.transport());
            if *strategy == Strategy::Keeper || config.keep_events {
                bidder.keep_events();
            }
            let socket = ClientSocket::open(&config.connect_options, server, config.relay)?;
            members.push(Member {
                bidder,
                socket,
                start,
                rejoin_at: None,
                present_at: None,
            });
        }
        let [stop, still] = [false, false].map(|flag| Arc::new(AtomicBool::new(flag)));
        let figures = Arc::new(Mutex::new(CrowdFigures::default()));
        let room = config.room;
        let mut run = Run {
            members,
            tokens,
            room,
            stop: stop.clone(),
            still: still.clone(),
            shared: figures.clone(),
            measures: false,
        };
        let thread = thread::Builder::new()
            .name("truetick-crowd".into())
            .spawn(move || {
                run.run()?;
                Ok(run
                    .members
                    .into_iter()
                    .map(|member| member.bidder)
                    .collect())
            })?;
        Ok(Self {
            stop,
            still,
            figures,
            thread,
        })
    }

    /// The figures of all bidders, at most half a second old.
    pub fn figures(&self) -> CrowdFigures {
        self.figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops all new commands.
    pub fn be_still(&self) {
        self.still.store(true, Ordering::Relaxed);
    }

    /// Lets all bidders leave, and returns the final figures and the bidders.
    ///
    /// # Errors
    /// A socket failed, or the crowd's thread panicked.
    pub fn stop(self) -> io::Result<(CrowdFigures, Vec<Bidder>)> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.thread.join();
        let bidders =
            joined.unwrap_or_else(|_| Err(io::Error::other("the crowd's thread panicked")))?;
        let figures = self
            .figures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok((figures, bidders))
    }
}

impl Run {
    fn run(&mut self) -> io::Result<()> {
        let (mut publish_at, mut ready) = (clock::now(), Vec::new());
        while !self.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            let next = self
                .members
                .iter()
                .map(Member::next_timeout)
                .min()
                .unwrap_or(publish_at);
            let span = next.min(publish_at).since(now);
            client_socket::wait(
                self.members.iter().map(|member| &member.socket),
                span,
                &mut ready,
            )?;
            if self.still.load(Ordering::Relaxed) {
                self.members
                    .iter_mut()
                    .for_each(|member| member.bidder.be_still());
            }
            self.receive(&ready)?;
            self.advance();
            if clock::now() >= publish_at {
                self.measure_once_all_are_there();
                self.publish();
                publish_at = clock::now() + Duration::from_millis(500);
            }
            clock::sleep_until(now + ROUND);
        }
        self.publish();
        for member in &mut self.members {
            member.bidder.leave();
            member.transmit();
        }
        Ok(())
    }

    fn receive(&mut self, ready: &[usize]) -> io::Result<()> {
        for place in ready {
            let Member { bidder, socket, .. } = &mut self.members[*place];
            let now = clock::now();
            socket.receive(now, |from, event, at| bidder.receive(from, event, at))?;
        }
        Ok(())
    }

    fn advance(&mut self) {
        for member in &mut self.members {
            let now = clock::now();
            if member.bidder.wants_token() && now >= member.start {
                let at = *member.rejoin_at.get_or_insert(now + REJOIN_INTERVAL);
                if at <= now {
                    member.rejoin_at = None;
                    let token =
                        self.tokens
                            .issue(member.bidder.user(), self.room, clock::unix_now());
                    member.bidder.rejoin(token, now);
                }
            }
            if now >= member.next_timeout() {
                member.bidder.advance(now);
                member.transmit();
            }
            if member.is_here() {
                member.present_at = Some(now);
            }
        }
    }

    /// Restarts the measurement once all have joined: answer times before that are not
    /// representative.
    fn measure_once_all_are_there(&mut self) {
        if !self.measures && self.members.iter().all(Member::is_playing) {
            self.measures = true;
            self.members
                .iter_mut()
                .for_each(|member| member.bidder.begin_to_measure());
        }
    }

    fn publish(&self) {
        let (now, members) = (clock::now(), &self.members);
        let mut figures = CrowdFigures {
            joined: members.iter().filter(|member| member.is_here()).count(),
            absent: members
                .iter()
                .filter(|member| member.is_absent(now))
                .count(),
            cpu: clock::thread_cpu(),
            ..CrowdFigures::default()
        };
        let mut manners: BTreeMap<Strategy, usize> = BTreeMap::new();
        for Member { bidder, .. } in &self.members {
            *manners.entry(bidder.strategy()).or_default() += 1;
            figures.add(bidder);
        }
        figures.manners = manners;
        figures.look_at_lots(
            self.members.first().map(|member| &member.bidder),
            clock::now(),
        );
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

impl Member {
    fn is_playing(&self) -> bool {
        self.bidder.client().state() == ClientState::Playing
    }

    fn is_here(&self) -> bool {
        matches!(
            self.bidder.client().state(),
            ClientState::Playing | ClientState::Silent
        )
    }

    /// Whether the bidder never joined, or has been outside for longer than it takes to join again.
    fn is_absent(&self, now: Timestamp) -> bool {
        self.present_at.is_none_or(|at| now.since(at) > REJOIN_TIME)
    }

    fn next_timeout(&self) -> Timestamp {
        let next = self.bidder.next_timeout().max(self.start);
        self.rejoin_at.map_or(next, |at| next.min(at))
    }

    fn transmit(&mut self) {
        while let Some((to, transmit)) = self.bidder.poll_transmit() {
            self.socket.send(to, &transmit);
        }
        self.socket.flush();
    }
}
