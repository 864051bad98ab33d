//! Sessions of whole systems: resumption, migration, and what ends a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_client_sim::bot_client::BotClient;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::client::resumable_session::SessionProgress;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::limits::STRIKES;
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::messages::Body;
use truetick_netcode::packet::{Acks, PayloadHeader};
use truetick_netcode::session::UserId;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::server::Resume;
use truetick_netcode::time::Timestamp;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::drain::Drain;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::session_event::SessionEvent;
use truetick_server::world_room::WorldRoom;
use truetick_tests::by_hand::{ByHand, CLIENT};
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::plan::SimConfig;
use truetick_tests::tokens::{self, tokens};
use truetick_tests::world::Sim;

const START: Timestamp = Timestamp::from_millis(1_000);

fn address(i: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + i))
}

#[test]
fn line_32_trailing_bits_count_a_strike_and_strikes_end_the_session() {
    let mut hand = ByHand::joined();
    let nonsense = |writer: &mut BitWriter| {
        writer.write(Body::Empty as u32, Body::BITS);
        writer.write_bytes(&[1, 2, 3]);
    };
    (1..STRIKES).for_each(|_| hand.send(nonsense));
    hand.pass();
    assert_eq!(
        hand.server.drops().count(DropReason::Malformed),
        u64::from(STRIKES) - 1
    );
    assert_eq!(hand.server.sessions(), 1);
    hand.send(nonsense);
    hand.ends_with(DisconnectReason::Misbehaved);
}

#[test]
fn line_47_a_client_that_acknowledges_everything_is_found() {
    let mut hand = ByHand::joined();
    for sequence in 10..3_000u64 {
        hand.pass();
        if hand.server.sessions() == 0 {
            break;
        }
        let sent = hand
            .server
            .session(CLIENT)
            .map_or(0, |(_, connection)| connection.traffic().packets_out);
        let mut writer = BitWriter::new();
        let acks = Some(Acks {
            newest: sent.saturating_sub(1),
            mask: u64::MAX,
            held: 0,
        });
        PayloadHeader { sequence, acks }.write(&mut writer);
        writer.write(0, 1);
        writer.write(Body::Empty as u32, Body::BITS);
        writer.pad_to_byte();
        let bytes = hand.session.seal(writer.bytes(), hand.now);
        hand.server.receive(CLIENT, &bytes, hand.now);
    }
    hand.ends_with(DisconnectReason::Misbehaved);
}

/// Many bots and a server on a network without loss.
struct Crowd {
    server: Server,
    bots: Vec<(SocketAddr, BotClient)>,
    now: Timestamp,
    events: Vec<SessionEvent>,
    /// Clients whose datagrams are lost, in both directions.
    cut: fn(usize) -> bool,
}

impl Crowd {
    fn new(clients: u16) -> Self {
        let mut config = tokens::session_config();
        (config.sessions, config.per_address) =
            (usize::from(clients) + 8, usize::from(clients) + 8);
        let mut server = Server::new(config, [7; 32], START, tokens::wall(START));
        let arena = ArenaGame::new(ArenaConfig {
            drones: 0,
            pickups: 0,
            ghosts: true,
            ..ArenaConfig::default()
        });
        let room = RoomConfig {
            max_clients: usize::from(clients),
            relevance_radius_m: Some(2.0),
            snapshot_bytes: 400,
            ..RoomConfig::default()
        };
        server.add_room(Box::new(
            WorldRoom::new(arena.unwrap(), room, START).unwrap(),
        ));
        let (kinds, mut tokens) = (Arc::new(arena_schema().unwrap()), tokens(3));
        let bots = (0..clients).map(|i| {
            let user = UserId(u64::from(i));
            let token = tokens.issue(user, 0, tokens::wall(START));
            (
                address(i),
                BotClient::new(kinds.clone(), token, u64::from(i), START),
            )
        });
        Self {
            server,
            bots: bots.collect(),
            now: START,
            events: Vec::new(),
            cut: |_| false,
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += Duration::from_millis(4);
            let now = self.now;
            for (i, (from, bot)) in self.bots.iter_mut().enumerate() {
                bot.advance(now);
                while let Some((_, bytes)) = bot.poll_transmit() {
                    if !(self.cut)(i) {
                        self.server.receive(*from, &bytes, now);
                    }
                }
                while bot.poll_event().is_some() {}
            }
            let mut capture_transport = CaptureTransport::default();
            self.server.tick(&mut || now, &mut capture_transport);
            for (to, bytes) in capture_transport.0 {
                let i = usize::from(to.port() - 20_000) % self.bots.len();
                if !(self.cut)(i) && self.bots[i].0 == to {
                    self.bots[i]
                        .1
                        .receive(SocketAddr::from(tokens::SERVER), &bytes, now);
                }
            }
            self.events
                .extend(std::iter::from_fn(|| self.server.poll_event()));
        }
    }

    fn playing(&self) -> usize {
        self.bots
            .iter()
            .filter(|(_, bot)| bot.runtime().state() == ClientState::Playing)
            .count()
    }
}

#[test]
fn a_thousand_clients_dropped_at_once_are_back_within_five_seconds_and_no_tick_is_missed() {
    let mut crowd = Crowd::new(1_000);
    crowd.pass(Duration::from_secs(3));
    assert_eq!(crowd.playing(), 1_000);
    // The addresses of all clients change at the same moment, as after a restart of a NAT in front
    // of them.
    let places = crowd.bots.len() as u16;
    crowd
        .bots
        .iter_mut()
        .for_each(|(at, _)| at.set_port(at.port() + places));
    let dropped = crowd.now;
    while crowd.playing() < 1_000
        || crowd
            .bots
            .iter()
            .any(|(_, bot)| bot.runtime().stats().resumes == 0)
    {
        crowd.pass(Duration::from_millis(20));
        assert!(
            crowd.now.since(dropped) < Duration::from_secs(5),
            "{} play",
            crowd.playing()
        );
    }
    let took = crowd.now.since(dropped).as_millis();
    let longest = crowd
        .bots
        .iter()
        .map(|(_, bot)| bot.runtime().stats().longest_resume_us)
        .max()
        .unwrap();
    println!(
        "all are back after {took} ms, the longest resume took {longest} us from its first request"
    );
    let metrics = crowd.server.rooms()[0].metrics();
    assert_eq!(
        (metrics.missed_ticks, metrics.lost, crowd.server.sessions()),
        (0, 0, 1_000)
    );
    assert!(longest < 100_000, "{longest} us");
    // No client lost its entities.
    let resumed = crowd.events.iter().filter(|event| {
        matches!(
            event,
            SessionEvent::Resumed {
                resume: Resume::Continued,
                ..
            }
        )
    });
    assert_eq!(resumed.count(), 1_000);
    assert_eq!(metrics.joined, 1_000);
}

#[test]
fn a_changed_address_is_noticed_after_250_ms_and_recovered_within_two_round_trips_and_100_ms() {
    for rtt_ms in [20, 80, 200] {
        let latency = Duration::from_millis(rtt_ms / 2);
        let mut sim = Sim::new(SimConfig {
            clients: 2,
            link: LinkConfig {
                latency,
                ..LinkConfig::default()
            },
            ..SimConfig::default()
        });
        sim.run(Duration::from_secs(3));
        let own = sim.clients[0].bot.runtime().buffer().own().unwrap().id;
        sim.change_address(0);
        sim.run(Duration::from_millis(200));
        assert_eq!(sim.clients[0].bot.runtime().state(), ClientState::Playing);
        sim.run(Duration::from_millis(1_000));
        let stats = sim.clients[0].bot.runtime().stats();
        let most = 2 * rtt_ms * 1_000 + 100_000;
        println!(
            "{rtt_ms} ms round trip: resumed {} us after the first request",
            stats.longest_resume_us
        );
        assert_eq!((stats.silences, stats.resumes), (1, 1), "{rtt_ms} ms");
        assert!(
            stats.longest_resume_us < most,
            "{} us of {most}",
            stats.longest_resume_us
        );
        assert_eq!(sim.clients[0].bot.runtime().buffer().own().unwrap().id, own);
        assert_eq!((sim.playing(), sim.core().sessions()), (2, 2));
    }
}

#[test]
fn a_silent_clients_entity_stands_still_and_is_its_own_again() {
    let mut sim = Sim::new(SimConfig {
        clients: 2,
        ..SimConfig::default()
    });
    sim.run(Duration::from_secs(2));
    let own = sim.clients[0].bot.runtime().buffer().own().unwrap().id;
    let place = |sim: &Sim| {
        sim.room()
            .ring()
            .entry(own.slot)
            .map(|entry| entry.current().fields[..2].to_vec())
    };
    sim.set_client_links(0, LinkConfig::cut(), LinkConfig::cut());
    sim.run(Duration::from_secs(15));
    assert_eq!(sim.clients[0].bot.runtime().state(), ClientState::Silent);
    let before = place(&sim);
    sim.run(Duration::from_secs(1));
    assert_eq!((place(&sim), before.is_some()), (before, true));
    sim.set_client_links(0, LinkConfig::default(), LinkConfig::default());
    sim.run(Duration::from_secs(3));
    assert_eq!((sim.playing(), sim.clients[0].life), (2, 0));
    assert_eq!(sim.clients[0].bot.runtime().buffer().own().unwrap().id, own);
    assert_eq!(
        sim.clients[0].bot.runtime().resumable().keeping(),
        SessionProgress::Open
    );
}

#[test]
fn a_drained_server_sends_everyone_away_spread_over_a_while_and_is_done() {
    let mut crowd = Crowd::new(60);
    crowd.pass(Duration::from_secs(2));
    let (within, limit) = (Duration::from_secs(4), Duration::from_secs(8));
    crowd.server.drain(Drain::new(1, within, limit, crowd.now));
    let began = crowd.now;
    let mut left = Vec::new();
    while !crowd.server.is_drained(crowd.now) {
        crowd.pass(Duration::from_millis(500));
        left.push(60 - crowd.server.sessions());
    }
    assert!(
        crowd.now.since(began) <= within + Duration::from_secs(1),
        "{left:?}"
    );
    assert!(left[1] > 5 && left[3] < 55, "not spread: {left:?}");
    let moved = ClientState::Ended(End::Disconnected(DisconnectReason::Moved));
    assert!(
        crowd
            .bots
            .iter()
            .all(|(_, bot)| bot.runtime().state() == moved)
    );
}

#[test]
fn a_drained_server_stops_those_who_do_not_leave_with_a_reason() {
    let mut crowd = Crowd::new(4);
    crowd.pass(Duration::from_secs(1));
    crowd.server.drain(Drain::new(
        1,
        Duration::from_secs(3_600),
        Duration::from_secs(2),
        crowd.now,
    ));
    crowd.pass(Duration::from_secs(2));
    assert!(crowd.server.is_drained(crowd.now));
    let (now, mut capture_transport) = (crowd.now, CaptureTransport::default());
    crowd.server.stop(now, &mut capture_transport);
    for (to, bytes) in capture_transport.0 {
        let (_, bot) = crowd.bots.iter_mut().find(|(at, _)| *at == to).unwrap();
        bot.receive(SocketAddr::from(tokens::SERVER), &bytes, now);
    }
    let stopped = ClientState::Ended(End::Disconnected(DisconnectReason::ServerStopping));
    assert!(
        crowd
            .bots
            .iter()
            .all(|(_, bot)| bot.runtime().state() == stopped)
    );
}
