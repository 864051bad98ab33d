use fearless_simd::Level;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::block::Bodies;
use super::frame::{BodyBaselines, Floors};
use super::history::{OLDER, PastTicks};
use super::model::Model;
use super::{Body, POSITION_LIMIT};

const FLOORS: Floors = Floors {
    player: 380,
    others: 102,
};

fn body() -> impl Strategy<Value = Body> {
    let coordinate = || prop_oneof![-2000i32..2000, -POSITION_LIMIT..=POSITION_LIMIT];
    let part = || 0u32..512;
    let position = [coordinate(), coordinate(), coordinate()];
    (position, (0u32..4, part(), part(), part()), any::<bool>()).prop_map(
        |(position, (largest, a, b, c), mark)| Body::new(position, [largest, a, b, c], mark),
    )
}

/// Bodies in four older states, a baseline and now; most of them move little or not at all.
fn states(count: usize) -> impl Strategy<Value = Vec<Vec<Body>>> {
    let steps = proptest::collection::vec(
        (0u8..4, [-40i32..40, -40i32..40, -40i32..40], body()),
        OLDER + 1,
    );
    let each = (body(), steps).prop_map(|(first, steps)| {
        let mut states = vec![first];
        for (kind, by, other) in steps {
            let last = states[states.len() - 1];
            let moved: [i32; 3] = std::array::from_fn(|k| {
                (last.position[k] + by[k]).clamp(-POSITION_LIMIT, POSITION_LIMIT)
            });
            states.push(match kind {
                0 | 1 => last,
                2 => Body::new(moved, last.rotation(), last.mark()),
                _ => other,
            });
        }
        states
    });
    proptest::collection::vec(each, count).prop_map(|bodies| {
        (0..OLDER + 2)
            .map(|state| bodies.iter().map(|states| states[state]).collect())
            .collect()
    })
}

fn past(age: u32, gaps: [u32; OLDER], states: &[Vec<Body>]) -> BodyBaselines<'_> {
    let older = std::array::from_fn(|k| states[OLDER - 1 - k].as_slice());
    BodyBaselines {
        base: &states[OLDER],
        older,
        ticks: PastTicks { age, gaps },
    }
}

proptest! {
    #[test]
    fn any_frame_returns(
        states in (0usize..30).prop_flat_map(states),
        age in 1u32..32,
        gaps in [0u32..32, 0u32..32, 0u32..32, 0u32..32],
        dense in any::<bool>(),
    ) {
        let model = if dense { Model::dense() } else { Model::fast() };
        let (mut bodies, mut bytes) = (Bodies::new(model, FLOORS), Vec::new());
        let pasts = past(age, gaps, &states);
        bodies.encode(&pasts, &states[OLDER + 1], &mut bytes).unwrap();
        let told = |ticks| (ticks == pasts.ticks).then_some(pasts);
        prop_assert_eq!(bodies.decode(&bytes, told).unwrap(), states[OLDER + 1].as_slice());
    }

    #[test]
    fn bytes_from_outside_are_refused_or_give_bodies(
        states in states(24),
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        flip in any::<prop::sample::Index>(),
    ) {
        let mut bodies = Bodies::new(Model::fast(), FLOORS);
        let pasts = past(6, [1, 2, 3, 6], &states);
        let mut genuine = Vec::new();
        bodies.encode(&pasts, &states[OLDER + 1], &mut genuine).unwrap();
        if !genuine.is_empty() {
            let bit = flip.index(genuine.len() * 8);
            genuine[bit / 8] ^= 1 << (bit % 8);
        }
        for bytes in [bytes, genuine] {
            if let Ok(read) = bodies.decode(&bytes, |_| Some(pasts)) {
                let near = |part: &i32| part.abs() <= POSITION_LIMIT;
                prop_assert!(read.len() == 24 && read.iter().all(|body| body.position.iter().all(near)));
            }
        }
    }

    #[test]
    fn every_processor_writes_the_same(states in states(40)) {
        let mut bytes = [Vec::new(), Vec::new()];
        for (bytes, level) in bytes.iter_mut().zip([Level::new(), Level::baseline()]) {
            let mut bodies = Bodies::new(Model::dense(), FLOORS).with_level(level);
            bodies.encode(&past(6, [1, 2, 3, 6], &states), &states[OLDER + 1], bytes).unwrap();
        }
        prop_assert_eq!(&bytes[0], &bytes[1]);
    }
}

#[test]
fn frames_that_cannot_be_are_refused() {
    let mut bodies = Bodies::new(Model::fast(), FLOORS);
    let states = vec![vec![Body::default(); 3]; OLDER + 2];
    let pasts = past(6, [1, 2, 3, 6], &states);
    let far = Body::new([POSITION_LIMIT + 1, 0, 0], [3, 255, 255, 255], false);
    let mut out = Vec::new();
    assert!(bodies.encode(&pasts, &[far; 3], &mut out).is_err());
    assert!(
        bodies
            .encode(&pasts, &[Body::default(); 2], &mut out)
            .is_err()
    );
    assert!(
        bodies
            .encode(&past(0, [0; OLDER], &states), &states[0], &mut out)
            .is_err()
    );
    assert!(
        bodies
            .encode(&past(6, [0, 0, 0, 32], &states), &states[0], &mut out)
            .is_err()
    );
    assert!(out.is_empty());
    bodies.encode(&pasts, &states[0], &mut out).unwrap();
    assert!(bodies.decode(&out, |_| None).is_err());
}

/// Boxes that fall, spin and slide, at a tick. Only integers are used, so that every machine gives
/// equal states.
fn tumbling(tick: i32) -> Vec<Body> {
    let boxes = (0..64).map(|n: i32| {
        let (t, own) = (tick + n, n.wrapping_mul(37) % 101);
        let height = (900 + own * 9 - t * t / 3).max(102);
        let part = |k: i32| (255 + (t * (1 + (n + k) % 5)) % 120) as u32;
        let position = [n * 90 + t * (own % 7), own * 40 - t * (n % 3), height];
        Body::new(
            position,
            [(n % 4) as u32, part(0), part(1), part(2)],
            n % 9 == 0,
        )
    });
    boxes.collect()
}

/// The built-in models give equal estimates on every machine. If these bytes change without a new
/// model, clients and servers on different machines cannot decode each other's frames.
#[test]
fn the_built_in_models_write_these_bytes() {
    for (model, hash) in [(Model::fast(), FAST), (Model::dense(), DENSE)] {
        let (mut bodies, mut bytes) = (Bodies::new(model, FLOORS), Vec::new());
        for tick in 12..60 {
            let older = [7, 8, 9, 12].map(|age| tumbling(tick - age));
            let older = older.each_ref().map(Vec::as_slice);
            let pasts = BodyBaselines {
                base: &tumbling(tick - 6),
                older,
                ticks: PastTicks::whole(6),
            };
            bodies.encode(&pasts, &tumbling(tick), &mut bytes).unwrap();
        }
        assert_eq!(xxh3_64(&bytes), hash, "of {} bytes", bytes.len());
    }
}

const FAST: u64 = 0xbbfb_b361_8aa9_42ea;
const DENSE: u64 = 0xf3c1_17b5_b930_efd6;
