//! A panic in a room ends only that room: its clients receive a disconnect notice, its recording is
//! complete, and the other rooms continue.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use truetick_auction::wire::WIRE;
use truetick_client_sim::auction::bidder::{Bidder, BidderConfig};
use truetick_client_sim::auction::strategy::Strategy;
use truetick_netcode::client::runtime::ClientRuntime;
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::UserId;
use truetick_server::auction::entry::{Entry, HouseReplica};
use truetick_server::auction::room::{AuctionConfig, AuctionRoom};
use truetick_server::game::Game;
use truetick_server::journal::CommitLog;
use truetick_server::recording::record::join;
use truetick_server::recording::recorder::RecorderConfig;
use truetick_server::recording::records::End as Finish;
use truetick_server::recording::replay::replay;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::world_room::WorldRoom;
use truetick_tests::auction::world::rules;
use truetick_tests::brittle::{Brittle, Fragile, Where};
use truetick_tests::capture_transport::CaptureTransport;
use truetick_tests::room_story::{START, Story, client};
use truetick_tests::second_game::{Push, Race};
use truetick_tests::tokens::{SERVER, server, token};

fn brittle(breaks: &'static str) -> Brittle {
    Brittle::new(breaks, Race.registry().unwrap().schema().hash(), START)
}

#[test]
fn a_panic_in_a_world_ends_its_room_with_its_recording_whole_and_the_others_go_on() {
    for place in [
        Where::System,
        Where::Place,
        Where::Team,
        Where::Join,
        Where::Leave,
        Where::Command,
    ] {
        let game = Fragile::default();
        let config = RoomConfig {
            tick_rate: 20,
            relevance_radius_m: Some(10.0),
            ..RoomConfig::default()
        };
        let mut room = WorldRoom::new(game.clone(), config, START).unwrap();
        let recording = RecorderConfig {
            recording: 1,
            game: "race".into(),
            setup: Vec::new(),
            with_state: true,
            segment_bytes: usize::MAX,
        };
        truetick_server::world_access::WorldAccess::start_recording(&mut room, recording);
        let mut story = Story::new(Box::new(room));
        let third = story.join(1);
        story.run(1_000);
        assert_eq!(story.clients[1].state(), ClientState::Playing);
        game.set(place);
        match place {
            Where::Leave => story.clients[third].leave(),
            Where::Join => drop(story.join(1)),
            _ => {}
        }
        story.run(1_000);
        assert_eq!(
            story.told(1),
            Some(DisconnectReason::RoomFailed),
            "{place:?}"
        );
        let world = story
            .server
            .room_mut(1)
            .and_then(|room| room.world_mut())
            .unwrap();
        let chunks = std::iter::from_fn(|| world.poll_recording());
        let bytes: Vec<u8> = chunks.flat_map(|chunk| chunk.bytes).collect();
        let segments = join(vec![bytes]).unwrap();
        let again = replay(&Arc::new(Fragile::default()), &segments, None, |_| {}).unwrap();
        assert_eq!(
            (again.divergence, again.end),
            (None, Some(Finish::Finished)),
            "{place:?}"
        );
        assert!(again.ticks >= 18, "{place:?}: {} ticks", again.ticks);
        assert!(story.server.rooms()[1].metrics().ticks >= 18, "{place:?}");
        story.ended(&format!("a planted panic in {place:?}"));
    }
}

#[test]
fn a_panic_in_any_method_of_a_room_ends_that_room_alone() {
    let methods = [
        "due",
        "population",
        "has",
        "join",
        "simulate",
        "has_news",
        "awaits_news",
        "messages",
        "tick_sent",
        "is_overwhelmed",
    ];
    for method in methods {
        let mut story = Story::new(Box::new(brittle(method)));
        story.run(1_000);
        // Joining triggers the panic also for a client that comes later.
        story.join(1);
        story.run(1_000);
        assert_eq!(
            story.told(1),
            Some(DisconnectReason::RoomFailed),
            "{method}"
        );
        story.ended(&format!("a planted panic in {method}"));
    }
}

#[test]
fn a_panic_while_a_client_leaves_or_falls_silent_ends_that_room_alone() {
    for method in ["leave", "suspend"] {
        let mut story = Story::new(Box::new(brittle(method)));
        story.run(1_000);
        let schema = Race.registry().unwrap().schema().clone();
        let leaver = story.join(1);
        story.run(500);
        match method {
            "leave" => story.clients[leaver].leave(),
            // This client sends nothing any more.
            _ => {
                story.clients[leaver] = ClientRuntime::new(
                    Race,
                    Arc::new(schema),
                    token(99, 0, story.now),
                    99,
                    story.now + Duration::from_secs(3_600),
                )
            }
        }
        story.run(12_000);
        assert_eq!(
            story.told(1),
            Some(DisconnectReason::RoomFailed),
            "{method}"
        );
        assert!(story.server.failed_rooms()[0].1.contains(method));
        assert_eq!(story.clients[0].state(), ClientState::Playing);
    }
}

#[test]
fn where_no_room_is_left_the_server_knows_that_it_has_failed() {
    let mut server = server(START);
    server.add_room(Box::new(brittle("simulate")));
    let mut story = Story {
        server,
        clients: vec![client(0, 10, START)],
        events: Vec::new(),
        now: START,
    };
    story.run(150);
    assert!(!story.server.has_failed());
    story.run(1_000);
    assert_eq!(story.told(0), Some(DisconnectReason::RoomFailed));
    assert!(story.server.has_failed() && story.server.next_deadline().is_some());
}

/// A commit log that counts entries and records whether it was closed. It panics when it is asked
/// whether it has failed.
struct Breaking(Arc<Mutex<(u64, bool)>>, Arc<AtomicU8>);

impl CommitLog<Entry> for Breaking {
    fn submit(&mut self, _: Entry) -> bool {
        let mut state = self.0.lock().unwrap();
        assert!(!state.1, "an entry after the end");
        state.0 += 1;
        true
    }

    fn durable(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    fn failure(&self) -> Option<&str> {
        assert!(
            self.1.load(Ordering::Relaxed) == 0,
            "a planted panic in the house"
        );
        None
    }

    fn close(&mut self) {
        self.0.lock().unwrap().1 = true;
    }
}

#[test]
fn a_panic_in_the_auction_closes_its_journal_and_the_others_go_on() {
    let (state, breaks) = (Arc::new(Mutex::new((0, false))), Arc::new(AtomicU8::new(0)));
    let rate = truetick_netcode::session::rate::Rate {
        per_second: 100,
        burst: 100,
    };
    let room = RoomConfig {
        tick_rate: 20,
        ..RoomConfig::default()
    };
    let config = AuctionConfig {
        room,
        rules: rules(),
        rate,
        receipts: 1 << 20,
    };
    let journal = Box::new(Breaking(state.clone(), breaks.clone()));
    let house = AuctionRoom::open(config, HouseReplica::default(), journal, START);
    let (story, bidder) = visit(Box::new(house), || breaks.store(1, Ordering::Relaxed));
    assert_eq!(
        bidder.client().state(),
        ClientState::Ended(End::Disconnected(DisconnectReason::RoomFailed))
    );
    assert!(state.lock().unwrap().1, "the journal is still open");
    let failed = story.server.failed_rooms();
    assert!(
        matches!(&failed[..], [(1, cause)] if cause.contains("in the house")),
        "{failed:?}"
    );
    assert_eq!(story.clients[0].state(), ClientState::Playing);
}

#[test]
fn a_panic_over_a_message_ends_that_room_alone() {
    let room = Brittle::new("receive_message", WIRE, START);
    let (mut story, bidder) = visit(Box::new(room), || {});
    assert_eq!(
        bidder.client().state(),
        ClientState::Ended(End::Disconnected(DisconnectReason::RoomFailed))
    );
    story.ended("a planted panic in receive_message");
}

/// Runs a client in room 1 for 3 s beside a runner in room 0, and calls `happens` after the first
/// half.
fn visit(room: Box<dyn Room>, happens: impl Fn()) -> (Story, Bidder) {
    let mut story = Story::new(room);
    story.clients.truncate(1);
    let watcher = BidderConfig {
        user: UserId(50),
        token: token(50, 1, START),
        strategy: Strategy::Watcher,
        house: None,
        seed: 50,
        pace: 1.0,
    };
    let mut bidder = Bidder::new(watcher, START);
    let address = |place: u16| SocketAddr::from(([127, 0, 0, 1], 100 + place));
    for ms in 0..3_000u64 {
        if ms == 1_500 {
            happens();
        }
        story.now += Duration::from_millis(1);
        let (now, mut capture_transport) = (story.now, CaptureTransport::default());
        story.server.send_replies(&mut capture_transport);
        story.server.tick(&mut || now, &mut capture_transport);
        for (to, bytes) in capture_transport.0 {
            match to == address(0) {
                true => story.clients[0].receive(SocketAddr::from(SERVER), &bytes, now),
                false => bidder.receive(SocketAddr::from(SERVER), &bytes, now),
            }
        }
        bidder.advance(now);
        while let Some((_, bytes)) = bidder.poll_transmit() {
            story.server.receive(address(50), &bytes, now);
        }
        while let Some(tick) = story.clients[0].poll_tick(now) {
            story.clients[0].submit(tick, Push(1), now);
        }
        while let Some((_, bytes)) = story.clients[0].poll_transmit() {
            story.server.receive(address(0), &bytes, now);
        }
        story
            .events
            .extend(std::iter::from_fn(|| story.server.poll_event()));
    }
    (story, bidder)
}
