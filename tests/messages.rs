//! Messages beside the state: events that are too large or too many, events that the application
//! does not read, and clients that send too many.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bevy_ecs::change_detection::{Res, ResMut};
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::channel::Channel;
use truetick_netcode::client::runtime::{ClientEvent, ClientRuntime};
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::limits::{
    EVENT_BYTES, MESSAGE_BYTES, MESSAGE_COST, SESSION_PACKETS, UNPOLLED_EVENT_BYTES,
    UNRELIABLE_EVENT_BYTES,
};
use truetick_netcode::link_sim::LinkConfig;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{KindId, SchemaError};
use truetick_netcode::session::ClientId;
use truetick_netcode::session::crypto::PacketKey;
use truetick_netcode::session::drops::DropReason;
use truetick_netcode::session::packet::{self, Kind};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::TransportKind;
use truetick_server::game::{CurrentTick, Game, GameEvent, Outbox};
use truetick_server::game_fault::{EventError, GameFault};
use truetick_server::registry::Registry;
use truetick_server::room::RoomConfig;
use truetick_server::server::Server;
use truetick_server::systems::Systems;
use truetick_server::world_room::WorldRoom;
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::quic::plan::QuicPlan;
use truetick_tests::quic::world::QuicWorld;
use truetick_tests::second_game::{Push, Race};
use truetick_tests::tokens;

const START: Timestamp = Timestamp::from_millis(1_000);
const TICK: Duration = Duration::from_micros(16_667);

/// Function that emits a game's events of a tick.
type Says = fn(Tick, &mut Outbox);

/// A race that emits events.
struct Loud(Says);

#[derive(Resource)]
struct Voice(Says);

fn talk(tick: Res<'_, CurrentTick>, voice: Res<'_, Voice>, mut outbox: ResMut<'_, Outbox>) {
    (voice.0)(tick.0, &mut outbox);
}

impl Game for Loud {
    type Command = Push;

    fn registry(&self) -> Result<Registry, SchemaError> {
        Race.registry()
    }

    fn insert_resources(&self, world: &mut World) {
        world.insert_resource(Voice(self.0));
    }

    fn populate(&self, _: &mut World, _: u64) {}

    fn add_systems(&self, systems: &mut Systems) {
        Race.add_systems(systems);
        systems.add("talk", talk);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        Race.join(world, client)
    }

    fn leave(&self, world: &mut World, client: ClientId) {
        Race.leave(world, client);
    }

    fn place(&self, kind: KindId, fields: &[u32]) -> Option<Vec2> {
        Race.place(kind, fields)
    }
}

fn event(channel: Channel, data: Vec<u8>) -> GameEvent {
    GameEvent {
        to: None,
        channel,
        data,
    }
}

/// A server and two clients, connected without a simulated network.
struct Play {
    server: Server,
    clients: Vec<(SocketAddr, ClientRuntime<Race>)>,
    now: Timestamp,
}

impl Play {
    fn new(description: Says) -> Self {
        let mut server = tokens::server(START);
        server.add_room(Box::new(
            WorldRoom::new(Loud(description), RoomConfig::default(), START).unwrap(),
        ));
        let schema = Arc::new(Race.registry().unwrap().schema().clone());
        let clients = (1..=2u16).map(|user| {
            let token = tokens::token(user.into(), 0, START);
            let client = ClientRuntime::new(Race, schema.clone(), token, user.into(), START);
            (SocketAddr::from(([127, 0, 0, 2], user)), client)
        });
        Self {
            server,
            clients: clients.collect(),
            now: START,
        }
    }

    fn pass(&mut self) {
        let (now, mut capture_transport) = (self.now, CaptureTransport::default());
        self.server.send_replies(&mut capture_transport);
        self.server.tick(&mut || now, &mut capture_transport);
        for (address, client) in &mut self.clients {
            for (_, bytes) in capture_transport.0.iter().filter(|(to, _)| to == address) {
                client.receive(SocketAddr::from(tokens::SERVER), bytes, now);
            }
            while let Some(tick) = client.poll_tick(now) {
                client.submit(tick, Push(0), now);
            }
            while let Some((_, bytes)) = client.poll_transmit() {
                self.server.receive(*address, &bytes.into_bytes(), now);
            }
        }
        self.now += TICK;
    }

    fn states(&self) -> Vec<ClientState> {
        self.clients
            .iter()
            .map(|(_, client)| client.state())
            .collect()
    }

    /// The game events that a client has pending.
    fn events(&mut self, client: usize) -> Vec<(Tick, Vec<u8>)> {
        let client = &mut self.clients[client].1;
        let events = std::iter::from_fn(|| client.poll_event());
        events
            .filter_map(|event| match event {
                ClientEvent::Game(tick, data) => Some((tick, data)),
                _ => None,
            })
            .collect()
    }
}

/// Channels, each with the size of the largest event that it carries.
const LARGEST: [(Channel, usize); 3] = [
    (Channel::Unreliable, UNRELIABLE_EVENT_BYTES),
    (Channel::Reliable, EVENT_BYTES),
    (Channel::Ordered(3), EVENT_BYTES),
];

#[test]
fn an_event_that_is_too_large_is_the_games_error_and_reaches_nobody() {
    let mut play = Play::new(|tick, outbox| {
        let (channel, max) = LARGEST[tick.0 as usize % 3];
        for bytes in [max + 1, MESSAGE_BYTES, MESSAGE_BYTES + 1, 1 << 20] {
            let refused = outbox.send(event(channel, vec![7; bytes]));
            assert_eq!(
                refused,
                Err(EventError::TooLarge {
                    channel,
                    bytes,
                    max
                })
            );
            // A game that ignores the error is no worse off.
            outbox.0.push(event(channel, vec![7; bytes]));
        }
        assert_eq!(
            outbox.send(event(Channel::Ordered(9), vec![1])),
            Err(EventError::NoSuchStream(9))
        );
        outbox.0.push(event(Channel::Ordered(9), vec![1]));
        if tick.0.is_multiple_of(20) {
            outbox
                .send(event(channel, vec![tick.0 as u8; max]))
                .unwrap();
        }
    });
    let (mut faults, mut came) = (Vec::new(), 0);
    for _ in 0..240 {
        play.pass();
        faults.extend(play.server.poll_fault(play.now));
        for (tick, data) in play.events(0) {
            assert_eq!(data, vec![tick.0 as u8; LARGEST[tick.0 as usize % 3].1]);
            came += 1;
        }
        play.events(1);
    }
    assert_eq!(play.states(), [ClientState::Playing; 2]);
    assert!(came >= 8, "{came} events came");
    assert_eq!(
        play.server.rooms()[0].metrics().events_refused,
        5 * play.server.rooms()[0].metrics().ticks
    );
    assert!((3..=5).contains(&faults.len()), "{faults:?}");
    assert!(
        matches!(
            faults[0],
            (0, GameFault::Event(EventError::TooLarge { .. }), 5)
        ),
        "{faults:?}"
    );
}

/// Half a minute of ten small reliable events per tick to four clients. Events of the last seconds
/// may be in flight.
fn ten_a_tick(kind: TransportKind, round_trip_ms: u64, loss: f64) {
    let latency = Duration::from_millis(round_trip_ms / 2);
    let link = LinkConfig {
        latency,
        loss,
        ..LinkConfig::default()
    };
    let seconds = 30;
    let quiet = QuicPlan::quiet(5, kind, link, Duration::from_secs(seconds));
    let mut world = QuicWorld::new(QuicPlan {
        patter: 10,
        ..quiet
    });
    let figures = world.run();
    assert_eq!(
        world.wrong,
        Vec::<String>::new(),
        "{kind} {round_trip_ms} ms, loss {loss}"
    );
    assert_eq!(figures.rejoins, 0, "{kind} {round_trip_ms} ms, loss {loss}");
    for member in &world.members {
        assert_eq!(
            member.bot.runtime().state(),
            ClientState::Playing,
            "{kind} {round_trip_ms} ms"
        );
        let (came, said) = (member.patter.next.unwrap_or(0), seconds * 60 * 10);
        let longest = 600 * (round_trip_ms * 4 + 200) / 1_000;
        assert!(
            came + longest >= said,
            "{kind} {round_trip_ms} ms, loss {loss}: {came} of {said}"
        );
        println!(
            "{kind} {round_trip_ms} ms, loss {loss}: {came} of {said}, {} in all",
            member.patter.came
        );
    }
}

#[test]
fn ten_reliable_events_a_tick_come_at_100_ms() {
    for over in [TransportKind::Udp, TransportKind::Quic] {
        ten_a_tick(over, 100, 0.0);
    }
}

#[test]
fn ten_reliable_events_a_tick_come_at_300_ms_with_loss() {
    for over in [TransportKind::Udp, TransportKind::Quic] {
        ten_a_tick(over, 300, 0.05);
    }
}

#[test]
fn ten_reliable_events_a_tick_come_at_a_second() {
    for over in [TransportKind::Udp, TransportKind::Quic] {
        ten_a_tick(over, 1_000, 0.0);
    }
}

#[test]
fn ten_reliable_events_a_tick_come_at_a_second_with_loss() {
    ten_a_tick(TransportKind::Udp, 1_000, 0.05);
}

#[test]
fn events_that_nobody_polls_end_that_session_by_name_and_none_is_displaced() {
    const BYTES: usize = 200;
    let mut play = Play::new(|tick, outbox| {
        for place in 0..10u8 {
            let mut data = vec![place; BYTES];
            data[..4].copy_from_slice(&tick.0.to_le_bytes());
            outbox.send(event(Channel::Ordered(1), data)).unwrap();
        }
    });
    let fit = UNPOLLED_EVENT_BYTES / (BYTES + MESSAGE_COST);
    for _ in 0..fit / 10 + 240 {
        play.pass();
        play.events(1);
    }
    let unread = ClientState::Ended(End::Disconnected(DisconnectReason::EventsUnread));
    assert_eq!(play.states(), [unread, ClientState::Playing]);
    let kept = play.events(0);
    assert_eq!(kept.len(), fit);
    let row: Vec<(u32, u8)> = kept
        .iter()
        .map(|(tick, data)| (tick.0, data[BYTES - 1]))
        .collect();
    let first = row[0].0;
    let expected: Vec<_> = (0..fit as u32)
        .map(|at| (first + at / 10, (at % 10) as u8))
        .collect();
    assert_eq!(row, expected);
}

#[test]
fn unreliable_events_that_nobody_polls_end_no_session() {
    let mut play = Play::new(|_, outbox| {
        (0..4).for_each(|_| {
            outbox
                .send(event(Channel::Unreliable, vec![1; 400]))
                .unwrap()
        });
    });
    for _ in 0..UNPOLLED_EVENT_BYTES / 464 / 4 + 300 {
        play.pass();
    }
    assert_eq!(play.states(), [ClientState::Playing; 2]);
    assert!(play.events(0).len() <= UNPOLLED_EVENT_BYTES / (400 + MESSAGE_COST));
}

#[test]
fn a_flood_of_keep_alives_is_dropped_unopened_and_refills_with_time() {
    let mut play = Play::new(|_, _| {});
    (0..60).for_each(|_| play.pass());
    assert_eq!(play.states(), [ClientState::Playing; 2]);
    // The keys of the first client's own token: the tests' tokens follow from user and time.
    let (address, key) = (
        play.clients[0].0,
        PacketKey::new(&tokens::token(1, 0, START).client_key),
    );
    let mut number = 1 << 20;
    let mut flood = |play: &mut Play, count: u32| {
        let before = play.server.drops().count(DropReason::Flood);
        for _ in 0..count {
            let mut datagram = Vec::new();
            packet::seal(
                Kind::KeepAlive,
                number,
                PROTOCOL,
                &key,
                &[0; 8],
                &mut datagram,
            );
            number += 1;
            play.server.receive(address, &datagram, play.now);
        }
        u64::from(count) - (play.server.drops().count(DropReason::Flood) - before)
    };
    let (per_second, burst) = SESSION_PACKETS;
    let taken = flood(&mut play, 50_000);
    assert!(
        (u64::from(burst) - 64..=u64::from(burst)).contains(&taken),
        "{taken} of a burst were taken"
    );
    play.now += Duration::from_secs(1);
    let taken = flood(&mut play, 50_000);
    assert!(
        taken.abs_diff(per_second.into()) <= 1,
        "{taken} were taken after a second"
    );
    // No other client is delayed, and forged packets do not use up the session's allowance.
    play.now += Duration::from_secs(2);
    let forged = PacketKey::new(&tokens::token(9, 0, START).client_key);
    for number in 0..10_000 {
        let mut datagram = Vec::new();
        packet::seal(
            Kind::KeepAlive,
            (1 << 30) + number,
            PROTOCOL,
            &forged,
            &[0; 8],
            &mut datagram,
        );
        play.server.receive(address, &datagram, play.now);
    }
    assert_eq!(flood(&mut play, 100), 100);
    assert_eq!(play.states()[1], ClientState::Playing);
}
