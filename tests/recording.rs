//! Recordings return what was recorded, whole or cut, and name their defects.

use std::sync::Arc;

use proptest::prelude::*;
use truetick_arena::ArenaCommand;
use truetick_netcode::tick::Tick;
use truetick_server::arena::{ArenaConfig, ArenaGame};
use truetick_server::frame::FrameError;
use truetick_server::recording::record::{RecordError, join};
use truetick_server::recording::recorder::{Recorder, RecorderConfig};
use truetick_server::recording::records::End;
use truetick_server::recording::replay::{ReplayError, replay};
use truetick_server::simulation::{Simulation, TickInput};
use truetick_tests::script::script;

fn game() -> Arc<ArenaGame> {
    Arc::new(
        ArenaGame::new(ArenaConfig {
            drones: 10,
            ..ArenaConfig::default()
        })
        .unwrap(),
    )
}

/// Runs a script and records it in segments of `segment_bytes`.
fn record(
    inputs: &[TickInput<ArenaCommand>],
    with_state: bool,
    segment_bytes: usize,
) -> (Vec<Vec<u8>>, u64) {
    let mut simulation = Simulation::new(game(), 7).unwrap();
    let config = RecorderConfig {
        recording: 1,
        game: "arena".into(),
        setup: Vec::new(),
        with_state,
        segment_bytes,
    };
    let mut recorder = Recorder::begin(config, 60, 7, &simulation);
    for input in inputs {
        recorder.input(simulation.tick().next(), input);
        simulation.step(input.clone());
        recorder.outcome(&simulation);
    }
    recorder.finish();
    let mut segments = Vec::<Vec<u8>>::new();
    while let Some(chunk) = recorder.poll() {
        segments.resize(chunk.segment as usize + 1, Vec::new());
        segments[chunk.segment as usize].extend(chunk.bytes);
    }
    (segments, simulation.world_hash())
}

#[test]
fn a_recording_runs_again_with_equal_hashes() {
    for with_state in [false, true] {
        let (segments, last) = record(&script(1, 1_300), with_state, usize::MAX);
        let again = replay(&game(), &segments, None, |_| {}).unwrap();
        assert_eq!(
            (again.ticks, again.divergence, again.end),
            (1_300, None, Some(End::Finished))
        );
        assert_eq!(again.simulation.unwrap().world_hash(), last);
    }
}

#[test]
fn segments_run_in_a_row_and_each_alone() {
    let (segments, last) = record(&script(2, 900), true, 60_000);
    assert!(segments.len() > 3, "{} segments", segments.len());
    let again = replay(&game(), &segments, None, |_| {}).unwrap();
    assert_eq!((again.ticks, again.divergence), (900, None));
    for from in 0..segments.len() {
        let again = replay(&game(), &segments[from..], None, |_| {}).unwrap();
        assert_eq!(again.divergence, None);
        assert_eq!(again.simulation.unwrap().world_hash(), last);
    }
    let gap = [segments[0].clone(), segments[2].clone()];
    assert!(matches!(
        replay(&game(), &gap, None, |_| {}),
        Err(ReplayError::OutOfOrder(_))
    ));
}

#[test]
fn only_segments_of_one_recording_are_joined() {
    let (segments, _) = record(&script(2, 900), true, 60_000);
    let (mut other, _) = record(&script(9, 100), true, usize::MAX);
    other.extend(segments.clone());
    // A recording with another number would do; here the position in the sequence does not fit.
    assert_eq!(join(other).unwrap(), segments);
    let holed = vec![
        segments[0].clone(),
        segments[2].clone(),
        segments[3].clone(),
    ];
    assert_eq!(join(holed).unwrap(), segments[2..4]);
    for begun in [Vec::new(), segments[0][..12].to_vec()] {
        let files = [segments.clone(), vec![begun]].concat();
        assert_eq!(join(files).unwrap(), segments);
    }
    assert!(join(Vec::new()).is_err() && join(vec![b"a thesis".to_vec()]).is_err());
}

#[test]
fn a_segment_that_is_cut_in_the_middle_of_a_row_is_damage_and_no_end() {
    let (mut segments, _) = record(&script(2, 900), true, 60_000);
    let cut = segments[1].len() / 2;
    segments[1].truncate(cut);
    let again = replay(&game(), &segments, None, |_| {}).unwrap();
    assert!(
        matches!(again.end, Some(End::Damaged(1, _))),
        "{:?}",
        again.end
    );
    segments.truncate(2);
    let again = replay(&game(), &segments, None, |_| {}).unwrap();
    assert!(
        matches!(again.end, Some(End::Torn(_))) && again.ticks > 0,
        "{:?}",
        again.end
    );
}

#[test]
fn a_replay_stops_where_it_is_told() {
    let (segments, _) = record(&script(3, 200), false, usize::MAX);
    let again = replay(&game(), &segments, Some(Tick(77)), |_| {}).unwrap();
    assert_eq!(
        (again.ticks, again.simulation.unwrap().tick()),
        (77, Tick(77))
    );
    let beyond = replay(&game(), &segments, Some(Tick(201)), |_| {});
    assert!(matches!(
        beyond,
        Err(ReplayError::NoSuchTick(Tick(201), End::Finished))
    ));
}

#[test]
fn another_game_in_the_same_clothes_is_noticed_at_its_first_tick() {
    let (segments, _) = record(&script(4, 50), false, usize::MAX);
    let slower = Arc::new(
        ArenaGame::new(ArenaConfig {
            drones: 10,
            tick_rate: 30,
            ..ArenaConfig::default()
        })
        .unwrap(),
    );
    let divergence = replay(&slower, &segments, None, |_| {})
        .unwrap()
        .divergence
        .unwrap();
    assert_eq!(divergence.tick, Tick(1));
    assert!(divergence.components.contains(&"body"), "{divergence:?}");
}

#[test]
fn two_recordings_are_compared_input_by_input() {
    use truetick_server::game::Game;
    use truetick_server::recording::compare::compare;
    let mut inputs = script(5, 120);
    let (left, _) = record(&inputs, true, usize::MAX);
    let registry = game().registry().unwrap();
    let same = compare::<ArenaCommand>(&left, &left, registry.schema()).unwrap();
    assert_eq!((same.ticks, same.divergence), (120, None));
    inputs[99].commands[0].1.dash ^= true;
    let (right, _) = record(&inputs, true, usize::MAX);
    let divergence = compare::<ArenaCommand>(&left, &right, registry.schema())
        .unwrap()
        .divergence
        .unwrap();
    assert_eq!(divergence.tick, Tick(100));
    assert!(
        divergence.inputs.len() == 1 && divergence.inputs[0].contains("dash"),
        "{divergence}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_cut_recording_runs_up_to_the_cut(share in 0.0f64..1.0) {
        let (mut segments, _) = record(&script(6, 80), true, usize::MAX);
        let cut = (segments[0].len() as f64 * share) as usize;
        segments[0].truncate(cut);
        match replay(&game(), &segments, None, |_| {}) {
            Ok(again) => {
                prop_assert!(again.divergence.is_none() && again.ticks <= 80);
                prop_assert!(matches!(again.end, Some(End::Unfinished | End::Torn(_))), "{:?}", again.end);
            }
            Err(ReplayError::Record(RecordError::Frame(FrameError::NoMagic | FrameError::Torn(_)) | RecordError::Content { .. })) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_damaged_recording_is_read_up_to_the_damage(share in 0.0f64..1.0, bit in 0u32..8) {
        let (mut segments, _) = record(&script(6, 80), true, usize::MAX);
        let last_frame = segments[0].len() - 600;
        let at = (last_frame as f64 * share) as usize;
        segments[0][at] ^= 1u8 << bit;
        match replay(&game(), &segments, None, |_| {}) {
            Ok(again) => {
                prop_assert!(again.divergence.is_none());
                prop_assert!(matches!(again.end, Some(End::Damaged(0, _))), "{:?}", again.end);
            }
            Err(error) => prop_assert!(matches!(error, ReplayError::Record(_)), "{error}"),
        }
    }
}
