//! Bad input to a server's QUIC end and its treatment: rows 24 to 27 of the catalogue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::ConnectionError;
use quinn_proto::TransportErrorCode;
use tokio::time::timeout;
use truetick_client_sim::connect_options::ORIGIN;
use truetick_netcode::limits::{CHANNEL_WINDOW_BYTES, FRAME_BYTES};
use truetick_netcode::transport::{Event, PeerAddr, Transport};
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;
use truetick_transport::memory::MemoryHub;
use truetick_transport::wait_readable;

use crate::tamper::{Stage, Tamper};
use crate::tried::{PATIENCE, Raw, Reused, Stranger, Tried};
use crate::ways::{Way, any, dial};

/// Whether a datagram is a Retry (RFC 9000, section 17.2.5).
fn is_retry(datagram: &[u8]) -> bool {
    datagram[0] & 0xf0 == 0xf0
}

/// The token in a Retry: after two connection ids, before 16 bytes of integrity.
fn token_of(retry: &[u8]) -> Vec<u8> {
    let first = 6 + usize::from(retry[5]);
    let second = first + 1 + usize::from(retry[first]);
    retry[second..retry.len() - 16].to_vec()
}

#[test]
fn line_24_an_initial_under_1200_bytes_is_dropped() {
    let mut tried = Tried::new(64);
    let mut raw = Raw::new();
    let initial = raw.initial(&tried);
    assert!(initial.len() >= 1_200);
    for length in [1_199, 600, 30, 5, 1] {
        raw.say(tried.address(), &initial[..length]);
    }
    assert_eq!(
        raw.hear(Some(tried.address()), 1, Duration::from_millis(200)),
        Vec::<Vec<u8>>::new()
    );
    raw.say(tried.address(), &initial);
    assert!(
        !raw.hear(Some(tried.address()), 1, PATIENCE).is_empty(),
        "the whole one is answered"
    );
    tried.look();
    assert_eq!(tried.opened, 0);
    tried.serves_the_honest();
}

#[test]
fn line_24_a_flood_of_initials_is_answered_with_retry() {
    let mut tried = Tried::new(8);
    let prepare = |_| {
        let mut raw = Raw::new();
        let initial = raw.initial(&tried);
        (raw, initial)
    };
    let mut initials: Vec<_> = (0..40).map(prepare).collect();
    let server = tried.address();
    for (raw, initial) in &mut initials {
        raw.say(server, initial);
    }
    let answers: Vec<_> = initials
        .iter_mut()
        .map(|(raw, _)| raw.hear(Some(server), 1, Duration::from_millis(300)))
        .collect();
    let retries = answers
        .iter()
        .flatten()
        .filter(|datagram| is_retry(datagram))
        .count();
    assert!(
        (30..=32).contains(&retries),
        "{retries} of 40 must prove their address first"
    );
    // A client that proves its address is served during the attack.
    tried.serves_the_honest();
    assert_eq!(tried.opened, 1);
}

#[test]
fn line_25_a_reused_or_foreign_retry_token_opens_no_connection() {
    let mut tried = Tried::new(0);
    let mut raw = Raw::new();
    let initial = raw.initial(&tried);
    raw.say(tried.address(), &initial);
    let retry = raw.hear(Some(tried.address()), 1, PATIENCE).remove(0);
    assert!(is_retry(&retry));
    let (stolen, mut forged) = (token_of(&retry), token_of(&retry));
    forged[5] ^= 1;
    // A token from another address is a violation; an invalid one is ignored, and a Retry follows.
    for (token, offends) in [(stolen, true), (forged, false), (vec![1; 40], false)] {
        let mut stranger = Stranger::new(&tried);
        stranger.config.token_store(Arc::new(Reused(token)));
        match (stranger.connect(tried.address()), offends) {
            (Err(ConnectionError::ConnectionClosed(close)), true) => {
                assert_eq!(close.error_code, TransportErrorCode::INVALID_TOKEN);
            }
            (Ok(_), false) => {}
            (other, _) => panic!("{:?}", other.map(|_| "a connection")),
        }
        tried.look();
        assert_eq!(tried.opened, 0);
    }
    tried.serves_the_honest();
}

fn others_go_on(tried: &mut Tried, provoke: impl FnOnce(&mut Tried)) {
    let mut honest = dial(tried.fingerprint, None);
    let addr = PeerAddr::quic(1, tried.address());
    honest.open(addr, b"hello");
    honest.flush();
    while tried.opened == 0 {
        tried.look();
    }
    provoke(tried);
    assert_eq!(
        tried.closed.saturating_sub(tried.opened - 1),
        0,
        "the honest connection is there"
    );
    let heard = Arc::new(AtomicUsize::new(0));
    let deadline = clock::now() + PATIENCE;
    while heard.load(Ordering::Relaxed) == 0 {
        assert!(clock::now() < deadline, "the honest connection goes on");
        honest.send(addr, b"still here");
        honest.flush();
        wait_readable(
            [&tried.end].into_iter(),
            Duration::from_millis(10),
            &mut Vec::new(),
        )
        .unwrap();
        let note = |_, event: Event<'_>, _| {
            heard.fetch_add(
                usize::from(event == Event::Datagram(b"still here")),
                Ordering::Relaxed,
            );
        };
        tried.end.receive(clock::now(), note).unwrap();
    }
}

#[test]
fn line_26_an_unknown_frame_closes_that_connection_only() {
    let mut tried = Tried::new(64);
    others_go_on(&mut tried, |tried| {
        let now = Arc::new(Mutex::new(false));
        let told = now.clone();
        // Frame types from 0x1f on were not negotiated.
        let tamper: Tamper = Arc::new(move |stage, payload| {
            if stage == Stage::Data && *told.lock().unwrap() {
                payload[0] = 0x21;
            }
        });
        let stranger = Stranger::tampering(tried, tamper);
        let (_endpoint, connection) = stranger.connect(tried.address()).unwrap();
        *now.lock().unwrap() = true;
        connection
            .send_datagram(Bytes::from_static(b"anything"))
            .unwrap();
        assert_eq!(
            stranger.closed_by_server(&connection),
            TransportErrorCode::FRAME_ENCODING_ERROR
        );
    });
}

#[test]
fn line_26_invalid_transport_parameters_open_no_connection() {
    let mut tried = Tried::new(64);
    others_go_on(&mut tried, |tried| {
        let tampered = Arc::new(AtomicUsize::new(0));
        let count = tampered.clone();
        // max_udp_payload_size (3): 1,472 becomes 1,024, but less than 1,200 is not allowed (RFC
        // 9000, section 18.2).
        let tamper: Tamper = Arc::new(move |stage, payload| {
            let honest = [0x03, 0x02, 0x45, 0xc0];
            let at = payload.windows(4).position(|bytes| bytes == honest);
            if let Some(at) = at.filter(|_| stage == Stage::Initial) {
                payload[at + 2..at + 4].copy_from_slice(&[0x44, 0x00]);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let stranger = Stranger::tampering(tried, tamper);
        let refused = stranger.connect(tried.address()).map(|_| ()).unwrap_err();
        assert!(tampered.load(Ordering::Relaxed) > 0);
        let ConnectionError::ConnectionClosed(close) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            close.error_code,
            TransportErrorCode::TRANSPORT_PARAMETER_ERROR
        );
    });
}

/// Increases the offset of a stream frame.
fn move_ahead(payload: &mut [u8], by: u32) -> bool {
    // A STREAM frame without offset, with length (0x0a) or without (0x08), is the first data of its
    // stream; one with an offset of four bytes can be changed in place.
    let is_stream = payload[0] & 0xf8 == 0x08;
    let has_offset = payload[0] & 0x04 != 0;
    if !is_stream || !has_offset || payload[1] >= 0x40 || payload[2] >> 6 != 2 {
        return false;
    }
    let offset: [u8; 4] = payload[2..6].try_into().unwrap();
    let moved = (u32::from_be_bytes(offset) & 0x3fff_ffff) + by;
    payload[2..6].copy_from_slice(&(moved | 0x8000_0000).to_be_bytes());
    true
}

#[test]
fn line_27_gappy_streams_are_buffered_to_a_cap_and_then_closed() {
    let mut tried = Tried::new(64);
    others_go_on(&mut tried, |tried| {
        let window = (CHANNEL_WINDOW_BYTES + 4 * FRAME_BYTES) as u32;
        let moved = Arc::new(AtomicUsize::new(0));
        let count = moved.clone();
        let tamper: Tamper = Arc::new(move |stage, payload| {
            if stage == Stage::Data && move_ahead(payload, 2 * window) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let stranger = Stranger::tampering(tried, tamper);
        let (_endpoint, connection) = stranger.connect(tried.address()).unwrap();
        let (mut send, _receive) = stranger.runtime.block_on(connection.open_bi()).unwrap();
        // Offsets have four bytes from 16,384 on.
        let write = async { timeout(PATIENCE, send.write_all(&vec![9; 200_000])).await };
        assert!(stranger.runtime.block_on(write).is_ok());
        assert_eq!(
            stranger.closed_by_server(&connection),
            TransportErrorCode::FLOW_CONTROL_ERROR
        );
        assert!(moved.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn a_page_whose_origin_is_not_on_the_list_is_refused() {
    for (origins, allowed) in [
        (vec![ORIGIN.to_string()], true),
        (vec!["https://game.example".into()], false),
        (vec![], false),
    ] {
        let settings = QuicSettings {
            listen: any(),
            origins: origins.clone(),
            ..QuicSettings::default()
        };
        let (mut server, fingerprint) = settings.open([7; 32], clock::unix_now()).unwrap();
        let hub = MemoryHub::default();
        let mut client = Way::WebTransport
            .connect_options(Some(fingerprint), &hub)
            .open(any(), None)
            .unwrap();
        client.open(PeerAddr::quic(1, server.local_address()), b"hello");
        client.flush();
        let (deadline, mut at_server, mut at_client) = (clock::now() + PATIENCE, 0, None);
        while at_client.is_none() {
            assert!(clock::now() < deadline, "{origins:?}");
            wait_readable(
                [&client].into_iter(),
                Duration::from_millis(10),
                &mut Vec::new(),
            )
            .unwrap();
            let note = |_, event: Event<'_>, _| {
                at_client.get_or_insert(matches!(event, Event::DatagramBytes(_)));
            };
            client.receive(clock::now(), note).unwrap();
            server
                .receive(clock::now(), |_, _, _| at_server += 1)
                .unwrap();
        }
        assert_eq!(at_client, Some(allowed), "{origins:?}");
        assert!(allowed || at_server == 0, "{origins:?}");
    }
}
