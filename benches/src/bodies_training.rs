//! Makes a model of bodies from recorded play: samples, a network, the tables of what it leaves over.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::bodies::model::Model;
use truetick_netcode::bodies::symbols::{
    DEGREES, FINE, PARTS, Part, RESIDUAL_SYMBOLS, SURPRISES, SymbolCoder,
};
use truetick_netcode::bodies::{
    Acknowledged, Body, Floors, Inputs, Network, PastTicks, Pasts, Shape, turn_between, visit,
};
use truetick_netcode::error::WireError;
use truetick_netcode::tick::Tick;

use crate::gradient::{Sample, Trainee};

/// Frames before these have no full past.
const FIRST: usize = 13;

/// One frame in so many is seen once more from a past with gaps, as losses leave it.
const GAPPED: usize = 3;

/// The past of a frame.
pub fn pasts(trace: &[Vec<Body>], frame: usize, ticks: PastTicks) -> Pasts<'_> {
    let base = frame.saturating_sub(ticks.age as usize);
    let older = ticks.gaps.map(|gap| trace[base.saturating_sub(gap as usize)].as_slice());
    Pasts { base: &trace[base], older, ticks }
}

/// Calls with each frame and each of its pasts.
fn for_each(traces: &[Vec<Vec<Body>>], mut call: impl FnMut(&Pasts, &[Body])) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(60);
    for trace in traces {
        for frame in FIRST..trace.len() {
            call(&pasts(trace, frame, PastTicks::whole(6)), &trace[frame]);
            if frame.is_multiple_of(GAPPED)
                && let Some(ticks) = gapped(frame, &mut rng)
            {
                call(&pasts(trace, frame, ticks), &trace[frame]);
            }
        }
    }
}

/// A past as losses and other round trips leave it.
fn gapped(frame: usize, rng: &mut Xoshiro256PlusPlus) -> Option<PastTicks> {
    let (loss, age) = (rng.random_range(0.0..0.25), rng.random_range(0..3));
    let age = if age == 0 { rng.random_range(2..13) } else { 6 };
    let mut held = Acknowledged::default();
    for tick in frame.saturating_sub(age + 20)..=frame.saturating_sub(age) {
        if rng.random_bool(1.0 - loss) {
            held.note(Tick(tick as u32));
        }
    }
    held.choose(Tick(frame as u32)).filter(|ticks| (ticks.age as usize) < FIRST)
}

/// Keeps what it sees.
struct Looking {
    floors: Floors,
    samples: Vec<Sample>,
    first: bool,
}

impl SymbolCoder for Looking {
    const DECODES: bool = false;

    fn symbol(&mut self, part: Part, _: usize, symbol: usize) -> usize {
        self.first |= part == Part::Past;
        if part == Part::Presence && symbol & 1 == 0 {
            self.first = false;
        }
        symbol
    }

    fn raw(&mut self, value: u32, _: u32) -> Result<u32, WireError> {
        Ok(value)
    }

    fn look(&mut self, inputs: &Inputs, before: Body, now: Body) {
        let floor = if self.first { self.floors.player } else { self.floors.others };
        self.first = false;
        let step = std::array::from_fn(|k| (now.position[k] - before.position[k]) as f32);
        let lowest = (floor - before.position[2]) as f32;
        self.samples.push(Sample { inputs: *inputs, step, lowest, turn: turn_between(before, now) });
    }
}

/// Counts symbols.
struct Counting([Vec<u64>; PARTS.len()]);

impl SymbolCoder for Counting {
    const DECODES: bool = false;

    fn symbol(&mut self, part: Part, context: usize, symbol: usize) -> usize {
        self.0[part as usize][context * part.size().1 + symbol] += 1;
        symbol
    }

    fn raw(&mut self, value: u32, _: u32) -> Result<u32, WireError> {
        Ok(value)
    }
}

/// Trains a model; says how it goes on.
///
/// # Errors
/// A trace has a body out of range.
pub fn train(
    traces: &[Vec<Vec<Body>>],
    floors: Floors,
    shape: Shape,
    rounds: usize,
    mut say: impl FnMut(String),
) -> Result<Vec<u8>, WireError> {
    let empty = PARTS.map(|part| vec![0; part.size().0 * part.size().1]);
    let untrained = vec![0.0; shape.weights()];
    let none = Network::new(shape, &untrained).ok_or(WireError::Malformed("a network of odd widths"))?;
    let blind = Model::new(none, &empty);
    let mut looking = Looking { floors, samples: Vec::new(), first: false };
    let mut failed = Ok(());
    for_each(traces, |pasts, now| {
        let seen = visit(&mut looking, &blind, pasts, floors, &mut now.to_vec());
        failed = failed.and(seen);
    });
    failed?;
    say(format!("{} samples", looking.samples.len()));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(901);
    let mut trainee = Trainee::new(shape, &looking.samples, &mut rng);
    trainee.train(&looking.samples, rounds, &mut rng, |round, bits| {
        say(format!("round {}: {bits:.3} bits a sample", round + 1));
    });
    let weights = trainee.weights();
    let network = Network::new(shape, &weights).ok_or(WireError::Malformed("a network of odd widths"))?;
    let seeing = Model::new(network, &empty);
    let mut counting = Counting(PARTS.map(|part| vec![0; part.size().0 * part.size().1]));
    let mut failed = Ok(());
    for_each(traces, |pasts, now| {
        failed = failed.and(visit(&mut counting, &seeing, pasts, floors, &mut now.to_vec()));
    });
    failed?;
    Ok(Model::to_bytes(shape, &weights, &frequencies(&counting.0)))
}

/// Weights from counts. What was seen seldom leans on what is like it: the same degree with any surprise, the same part.
fn frequencies(counts: &[Vec<u64>; PARTS.len()]) -> [Vec<u16>; PARTS.len()] {
    PARTS.map(|part| {
        let (contexts, symbols) = part.size();
        let counts = &counts[part as usize];
        let group = |context: usize| match part {
            Part::Residual => {
                context % (DEGREES + FINE) + (DEGREES + FINE) * (context / (DEGREES + FINE) / SURPRISES)
            }
            _ => 0,
        };
        let mut groups = vec![vec![0u64; symbols]; contexts];
        for context in 0..contexts {
            for symbol in 0..symbols {
                groups[group(context)][symbol] += counts[context * symbols + symbol];
            }
        }
        let mut weights = Vec::with_capacity(contexts * symbols);
        for context in 0..contexts {
            weights.extend(smoothed(&counts[context * symbols..][..symbols], &groups[group(context)]));
        }
        weights
    })
}

fn smoothed(counts: &[u64], like: &[u64]) -> impl Iterator<Item = u16> {
    const LEAN: f64 = 8.0;
    const MOST: f64 = 16_000.0;
    debug_assert!(counts.len() <= RESIDUAL_SYMBOLS);
    let (all, all_like) = (counts.iter().sum::<u64>() as f64, like.iter().sum::<u64>().max(1) as f64);
    let expected = |at: usize| like[at] as f64 / all_like;
    let weight = move |at: usize, count: u64| (count as f64 + LEAN * expected(at)) / (all + LEAN) * MOST;
    let weights: Vec<u16> = counts.iter().enumerate().map(|(at, count)| weight(at, *count) as u16).collect();
    weights.into_iter()
}
