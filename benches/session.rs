//! Benchmark of sealing one packet of 1,200 bytes and all packets of a tick, and of tokens.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::StdRng;
use truetick_benches::FullRoom;
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::session::UserId;
use truetick_netcode::session::crypto::{Key, PacketKey};
use truetick_netcode::session::packet::{Kind, OVERHEAD_BYTES, Outer, open, read_outer, seal};
use truetick_netcode::session::token::{Issuer, PrivateToken, Purpose};
use truetick_netcode::time::UnixTime;

fn one_packet(criterion: &mut Criterion) {
    let key = PacketKey::new(&Key::new([7; 32]));
    let contents = vec![5; 1_200 - OVERHEAD_BYTES];
    let mut group = criterion.benchmark_group("session");
    let mut packet = Vec::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("seal_1200_bytes", |bencher| {
        bencher.iter(|| {
            seal(
                Kind::Payload,
                u64::MAX,
                PROTOCOL,
                &key,
                black_box(&contents),
                &mut packet,
            )
        });
    });
    assert_eq!(packet.len(), 1_200);
    let mut copy = packet.clone();
    group.bench_function("open_1200_bytes", |bencher| {
        bencher.iter(|| {
            copy.copy_from_slice(&packet);
            let Ok(Outer::Sealed(header)) = read_outer(&copy) else {
                panic!("no packet")
            };
            open(header, PROTOCOL, &key, black_box(&mut copy))
                .expect("genuine")
                .len()
        });
    });
    let issuer = Issuer {
        key: Key::new([1; 32]),
        protocol: PROTOCOL,
        servers: vec!["127.0.0.1:40000".parse().expect("an address")],
        lifetime: std::time::Duration::from_secs(30),
        timeout: std::time::Duration::from_secs(10),
    };
    let mut rng = StdRng::seed_from_u64(1);
    let wall = UnixTime::from_millis(1_767_225_600_000);
    group.bench_function("issue_token", |bencher| {
        bencher.iter(|| issuer.issue(UserId(1), Purpose::default(), wall, &mut rng));
    });
    let token = issuer.issue(UserId(1), Purpose::default(), wall, &mut rng);
    let open =
        |sealed| PrivateToken::open(sealed, &issuer.key, PROTOCOL, token.expires, &token.nonce);
    group.bench_function("open_genuine_token", |bencher| {
        bencher.iter(|| open(black_box(&token.sealed)).expect("genuine"));
    });
    let mut forged = token.sealed.clone();
    forged[5] ^= 1;
    group.bench_function("refuse_forged_token", |bencher| {
        bencher.iter(|| open(black_box(&forged)).expect_err("forged"));
    });
    group.finish();
}

/// Seals and opens everything that the server sends in a tick: the share of cryptography in a tick.
fn all_of_a_tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_tick");
    for clients in [64, 256] {
        let mut room = FullRoom::new(clients, 64, None);
        room.tick();
        let payloads: Vec<Vec<u8>> = room
            .sent()
            .iter()
            .map(|(_, bytes)| bytes[..bytes.len() - 18].to_vec())
            .collect();
        let key = PacketKey::new(&Key::new([7; 32]));
        let mut packet = Vec::new();
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        println!(
            "session_tick/{clients}: {} packets, {bytes} bytes",
            payloads.len()
        );
        group.bench_function(format!("seal_all_of_{clients}_clients"), |bencher| {
            bencher.iter(|| {
                for payload in &payloads {
                    seal(
                        Kind::Payload,
                        1_000,
                        PROTOCOL,
                        &key,
                        black_box(payload),
                        &mut packet,
                    );
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_packet, all_of_a_tick);
criterion_main!(benches);
