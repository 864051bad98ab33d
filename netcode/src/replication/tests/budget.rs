//! Budgets below what is due: every entity is sent again, and a newcomer gets the whole world.

use super::super::NetId;
use super::super::client_view::{ClientView, Interest};
use super::super::entity::tests::{FIELDS, fitted};
use super::super::state_ring::ReplicaMeta;
use super::crowd::{Crowd, Witness, interest};
use crate::schema::KindId;

/// With a budget for a tenth of what is due, every entity is sent again within a bound that depends
/// on its weight.
#[test]
fn nothing_waits_for_ever() {
    for weighted in [false, true] {
        let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
        let (slots, budget) = (512u16, if weighted { 400 } else { 1_600 });
        let weights: Vec<u32> = (0..slots).map(|slot| 1 + u32::from(slot) % 16).collect();
        let mut sent = vec![0u64; usize::from(slots)];
        let mut longest = vec![0u64; usize::from(slots)];
        for tick in 0..1_500u64 {
            crowd.step(0..slots, true);
            let masks = crowd.masks();
            let interest = Interest {
                weights: weighted.then_some(&*weights),
                budget,
                ..interest(&masks)
            };
            let packets = crowd.send(&mut view, &interest, tick * 20);
            packets
                .iter()
                .for_each(|(sequence, _)| view.packet_acked(*sequence));
            for slot in 0..slots {
                let at = usize::from(slot);
                let id = NetId {
                    slot,
                    generation: 0,
                };
                if view.acked(id) == Some(crowd.tick) {
                    longest[at] = longest[at].max(tick - sent[at]);
                    sent[at] = tick;
                }
                assert!(
                    tick - sent[at] < 900,
                    "slot {slot} waits since {}",
                    sent[at]
                );
            }
        }
        let most = |class: u64| {
            (0..slots)
                .filter(|s| u64::from(*s) % 16 == class)
                .map(|s| longest[usize::from(s)])
                .max()
        };
        println!(
            "weighted {weighted}: longest wait {:?} (least weight) and {:?} (most)",
            most(0),
            most(15)
        );
        assert!(!weighted || most(15) < most(0));
    }
}

/// Block deltas that are sent in every tick do not hold back entities that join the block later.
#[test]
fn what_is_new_in_a_busy_block_does_not_wait_for_ever() {
    let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
    let mut acked = vec![false; 192];
    for tick in 0..300u64 {
        crowd.tick = crowd.tick.next();
        crowd.ring.begin_tick(crowd.tick);
        // The last 60 entities appear when all others already change, and by much.
        for slot in 0..if tick < 100 { 132 } else { 192u16 } {
            let meta = ReplicaMeta {
                id: NetId {
                    slot,
                    generation: 0,
                },
                kind: KindId(0),
                owner: None,
                team: 0,
            };
            let mut numbers = [1_000; FIELDS];
            let chance = (tick as u32 * 192 + u32::from(slot)).wrapping_mul(0x9e37_79b9);
            (numbers[0], numbers[2], numbers[5]) = (chance >> 17, chance >> 20, chance);
            crowd.ring.record(&crowd.schema, meta, &fitted(&numbers));
        }
        crowd.cache.begin_tick(&crowd.ring);
        let masks = crowd.masks();
        let interest = Interest {
            budget: 1_500,
            ..interest(&masks)
        };
        let packets = crowd.send(&mut view, &interest, tick * 20);
        packets
            .iter()
            .for_each(|(sequence, _)| view.packet_acked(*sequence));
        (0..192u16).for_each(|slot| {
            acked[usize::from(slot)] |= view
                .acked(NetId {
                    slot,
                    generation: 0,
                })
                .is_some();
        });
    }
    assert!(acked.iter().all(|acked| *acked), "{acked:?}");
}

#[test]
fn a_newcomer_gets_ten_thousand_entities_within_its_budget_and_nobody_waits_for_it() {
    const BUDGET: usize = 2_400;
    let (mut crowd, mut old, mut newcomer) = (Crowd::new(), Witness::default(), Witness::default());
    crowd.step(0..10_000, false);
    while old.buffer.entities().count() < 10_000 {
        crowd.step(0..10_000, false);
        assert!(old.tick(&mut crowd, 8_000) < 10_000);
    }
    // From here on nothing changes for the old client, even though a new one joins.
    let (mut ticks, mut most) = (0, 0);
    while newcomer.buffer.entities().count() < 10_000 {
        crowd.step(0..10_000, false);
        most = most.max(newcomer.tick(&mut crowd, BUDGET));
        assert!(
            old.tick(&mut crowd, BUDGET) < 30,
            "nothing changed for the old one"
        );
        ticks += 1;
    }
    println!("10,000 entities in {ticks} ticks of at most {most} bytes");
    assert!(
        most < BUDGET + 300 && ticks < 240,
        "{ticks} ticks, {most} bytes"
    );
}
