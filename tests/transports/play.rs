//! Whole systems over each transport.

use std::sync::Arc;
use std::time::Duration;

use truetick_arena::arena_schema;
use truetick_auction::money::Amount;
use truetick_client_sim::auction::crowd::{Crowd, CrowdConfig};
use truetick_client_sim::auction::strategy::{House, Strategy};
use truetick_client_sim::swarm::{Crew, Swarm, SwarmConfig};
use truetick_netcode::client::state::{ClientState, End};
use truetick_netcode::disconnect::DisconnectReason;
use truetick_netcode::session::client::Failure;
use truetick_netcode::session::token::Purpose;
use truetick_netcode::session::{Role, UserId};
use truetick_transport::clock;

use crate::scene::{KEEPER, Scene};
use crate::ways::{Way, on_every_way};

on_every_way! {
    an_arena_is_played
    an_auction_is_held
    a_client_that_lost_its_way_comes_back_to_its_session
    a_server_that_stops_says_so
    who_leaves_is_gone_at_once
    a_token_serves_once
    who_loses_its_session_to_another_hears_why
    a_user_plays_and_watches_at_once
}

fn an_arena_is_played(way: Way) {
    let scene = Scene::new(way);
    let swarm = SwarmConfig {
        connect_options: scene.connect_options,
        relay: None,
        crew: Crew {
            players: 6,
            spectators: 1,
        },
        seed: 3,
        first_user: 1,
        trace: None,
        capture: None,
    };
    let swarm = Swarm::start(&swarm, scene.tokens, &Arc::new(arena_schema().unwrap())).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while swarm.figures().counts.compared < 300 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let figures = swarm.stop().unwrap();
    let report = scene.host.stop().unwrap();
    assert!(figures.counts.compared >= 300, "{figures:?}");
    assert_eq!(
        (figures.joined, figures.lost, report.room.joined),
        (7, 0, 7)
    );
    assert_eq!(
        (
            figures.counts.hash_mismatches,
            figures.counts.decode_errors,
            figures.causes[2]
        ),
        (0, 0, 0)
    );
}

fn an_auction_is_held(way: Way) {
    let scene = Scene::new(way);
    let bidders = (1..=8).map(|user| (UserId(user), Strategy::of(user as usize)));
    let bidders = [(KEEPER, Strategy::Keeper), (UserId(99), Strategy::Watcher)]
        .into_iter()
        .chain(bidders)
        .collect();
    let house = House {
        accounts: 8,
        deposit: Amount(5_000_000),
        lots: 4,
        duration: 240,
        rate: 60,
        only_english: true,
    };
    let crowd = CrowdConfig {
        connect_options: scene.connect_options,
        room: 1,
        relay: None,
        bidders,
        house,
        pace: 10.0,
        seed: 5,
        keep_events: true,
    };
    let crowd = Crowd::start(&crowd, scene.tokens).unwrap();
    let deadline = clock::now() + Duration::from_secs(20);
    while crowd.figures().accepted < 40 && clock::now() < deadline {
        clock::sleep(Duration::from_millis(50));
    }
    let (figures, bidders) = crowd.stop().unwrap();
    scene.host.stop().unwrap();
    assert!(figures.accepted >= 40, "{figures:?}");
    assert_eq!(
        bidders
            .iter()
            .map(|bidder| bidder.client().errors())
            .sum::<u64>(),
        0
    );
    assert!(
        bidders
            .iter()
            .map(|bidder| bidder.seen().len())
            .sum::<usize>()
            > 40,
        "nobody saw what happened"
    );
}

fn a_client_that_lost_its_way_comes_back_to_its_session(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let (id, compared) = (
        player.bot.runtime().id(),
        player.bot.runtime().stats().compared,
    );
    let own = player.bot.runtime().buffer().own().map(|own| own.id);
    // The old path still exists, but is not used any more.
    let old = std::mem::replace(&mut player.socket, scene.socket());
    player.until("back", |bot| {
        let stats = bot.runtime().stats();
        stats.resumes == 1
            && stats.compared > compared + 20
            && bot.runtime().state() == ClientState::Playing
    });
    assert_eq!(player.bot.runtime().id(), id);
    assert_eq!(player.bot.runtime().buffer().own().map(|own| own.id), own);
    assert_eq!(
        (
            player.bot.runtime().stats().decode_errors,
            player.bot.runtime().stats().hash_mismatches
        ),
        (0, 0)
    );
    drop(old);
    assert_eq!(scene.host.stop().unwrap().room.joined, 1);
}

fn a_server_that_stops_says_so(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    scene.host.stop().unwrap();
    let told = |reason| ClientState::Ended(End::Disconnected(reason));
    player.until("told", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    let state = player.bot.runtime().state();
    assert_eq!(state, told(DisconnectReason::ServerStopping), "{way:?}");
}

fn who_leaves_is_gone_at_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    player.bot.leave();
    player.go();
    let deadline = clock::now() + Duration::from_secs(5);
    while scene.host.report().sessions > 0 {
        assert!(clock::now() < deadline, "{:?}", scene.host.report());
        clock::sleep(Duration::from_millis(50));
    }
}

fn a_token_serves_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let mut copy = scene.player_with(player.token.clone(), 8);
    copy.until("refused", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    // The token of an open session is taken for a late copy, and not answered, where requests can
    // be copies.
    let refused = [Failure::Denied, Failure::RequestTimedOut]
        .map(|failure| ClientState::Ended(End::Failed(failure)));
    assert!(
        refused.contains(&copy.bot.runtime().state()),
        "{way:?}: {:?}",
        copy.bot.runtime().state()
    );
    let compared = player.bot.runtime().stats().compared;
    player.until("unharmed", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
}

fn who_loses_its_session_to_another_hears_why(way: Way) {
    let mut scene = Scene::new(way);
    let mut first = scene.player(7);
    first.until_it_plays();
    let (id, own) = (
        first.bot.runtime().id(),
        first.bot.runtime().buffer().own().map(|own| own.id),
    );
    let mut second = scene.player(7);
    second.until_it_plays();
    first.until("told", |bot| {
        matches!(bot.runtime().state(), ClientState::Ended(_))
    });
    let replaced = ClientState::Ended(End::Disconnected(DisconnectReason::Replaced));
    assert_eq!(first.bot.runtime().state(), replaced, "{way:?}");
    // The second client takes over the entities and keeps them.
    let compared = second.bot.runtime().stats().compared;
    second.until("plays on", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
    assert_eq!(
        (second.bot.runtime().id(), scene.host.report().sessions),
        (id, 1)
    );
    assert_eq!(second.bot.runtime().buffer().own().map(|own| own.id), own);
}

fn a_user_plays_and_watches_at_once(way: Way) {
    let mut scene = Scene::new(way);
    let mut player = scene.player(7);
    player.until_it_plays();
    let purpose = Purpose {
        role: Role::Spectator,
        ..Purpose::default()
    };
    let token = scene
        .tokens
        .issue_for(UserId(7), purpose, clock::unix_now());
    let mut spectator = scene.player_with(token, 8);
    spectator.bot = spectator.bot.as_role(Role::Spectator);
    spectator.until("watches", |bot| bot.runtime().stats().snapshots > 20);
    let compared = player.bot.runtime().stats().compared;
    player.until("plays on", |bot| {
        bot.runtime().stats().compared > compared + 20
    });
    assert_eq!(
        player.bot.runtime().state(),
        ClientState::Playing,
        "{way:?}"
    );
    assert_eq!(scene.host.report().sessions, 2);
}
