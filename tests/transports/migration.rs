//! The change of a client's address during a game.

use std::time::Duration;

use truetick_client_sim::relay_thread::RelayThread;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::link_sim::LinkConfig;
use truetick_transport::clock;

use crate::scene::Scene;
use crate::ways::Way;

#[test]
fn a_connection_goes_on_from_another_port() {
    for way in [Way::Quic, Way::WebTransport] {
        let mut scene = Scene::new(way);
        let link = LinkConfig {
            latency: Duration::from_millis(20),
            ..LinkConfig::default()
        };
        let relay = RelayThread::start(scene.address(), link, 1).unwrap();
        let mut player = scene.player_through(7, relay.address());
        player.until_it_plays();
        let (mut longest, mut newest) = (Duration::ZERO, (clock::now(), player.snapshots()));
        for round in 0..400 {
            if round == 100 {
                player.socket.move_to_another_port().unwrap();
            }
            player.go();
            let now = clock::now();
            if player.snapshots() != newest.1 {
                longest = longest.max(now.since(newest.0));
                newest = (now, player.snapshots());
            }
        }
        let stats = player.bot.runtime().stats();
        println!(
            "{way:?}: longest gap {longest:?} at a round trip of 40 ms, {} resumes",
            stats.resumes
        );
        assert_eq!(
            (player.bot.runtime().state(), stats.resumes),
            (ClientState::Playing, 0),
            "{way:?}"
        );
        assert_eq!(scene.host.report().room.joined, 1);
        drop(player);
        relay.stop().unwrap();
    }
}
