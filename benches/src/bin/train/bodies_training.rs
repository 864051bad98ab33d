//! Trains a model of rigid bodies from recorded play: samples, a network, and tables of its
//! residuals.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::error::WireError;
use truetick_netcode::tick::Tick;
use truetick_rigid_body::model::Model;
use truetick_rigid_body::symbols::{DEGREES, FINE, PARTS, Part, SURPRISES, SymbolCoder};
use truetick_rigid_body::{
    Acknowledged, Body, Floors, Inputs, Network, PastTicks, Shape, turn_between, visit,
};

use crate::gradient::{Sample, Trainee};
use truetick_benches::traces::pasts;

/// First frame with a full past.
const FIRST: usize = 13;

/// One frame in this many is coded a second time with gaps in its past, as losses leave them.
const GAPPED: usize = 3;

/// Passes each frame with each of its pasts through a coder.
fn visit_all<C: SymbolCoder>(
    traces: &[Vec<Vec<Body>>],
    coder: &mut C,
    model: &Model,
    floors: Floors,
) -> Result<(), WireError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(60);
    for trace in traces {
        for frame in FIRST..trace.len() {
            let whole = PastTicks::whole(6);
            visit(
                coder,
                model,
                &pasts(trace, frame, whole),
                floors,
                &mut trace[frame].clone(),
            )?;
            if frame.is_multiple_of(GAPPED)
                && let Some(ticks) = gapped(frame, &mut rng)
            {
                visit(
                    coder,
                    model,
                    &pasts(trace, frame, ticks),
                    floors,
                    &mut trace[frame].clone(),
                )?;
            }
        }
    }
    Ok(())
}

/// A past with gaps and an age as losses and other round trips cause them.
fn gapped(frame: usize, rng: &mut Xoshiro256PlusPlus) -> Option<PastTicks> {
    let (loss, age) = (rng.random_range(0.0..0.25), rng.random_range(0..3));
    let age = if age == 0 { rng.random_range(2..13) } else { 6 };
    let mut held = Acknowledged::default();
    for tick in frame.saturating_sub(age + 20)..=frame.saturating_sub(age) {
        if rng.random_bool(1.0 - loss) {
            held.note(Tick(tick as u32));
        }
    }
    held.choose(Tick(frame as u32))
        .filter(|ticks| (ticks.age as usize) < FIRST)
}

/// A coder that collects samples.
struct Looking(Vec<Sample>);

impl SymbolCoder for Looking {
    const DECODES: bool = false;

    fn symbol(&mut self, _: Part, _: usize, symbol: usize) -> usize {
        symbol
    }

    fn raw(&mut self, value: u32, _: u32) -> Result<u32, WireError> {
        Ok(value)
    }

    fn look(&mut self, inputs: &Inputs, floor: i32, before: Body, now: Body) {
        let step = std::array::from_fn(|k| (now.position[k] - before.position[k]) as f32);
        let lowest = (floor - before.position[2]) as f32;
        self.0.push(Sample {
            inputs: *inputs,
            step,
            lowest,
            turn: turn_between(before, now),
        });
    }
}

/// A coder that counts symbols.
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

/// Trains a model and reports progress to `say`.
///
/// # Errors
///
/// A trace has a body out of range.
pub fn train(
    traces: &[Vec<Vec<Body>>],
    floors: Floors,
    shape: Shape,
    rounds: usize,
    mut say: impl FnMut(String),
) -> Result<Vec<u8>, WireError> {
    let odd = WireError::Malformed("a network of odd widths");
    let empty = PARTS.map(|part| vec![0; part.size().0 * part.size().1]);
    let blind = Network::new(shape, &vec![0.0; shape.weights()]).ok_or(odd)?;
    let mut looking = Looking(Vec::new());
    visit_all(traces, &mut looking, &Model::new(blind, &empty), floors)?;
    let samples = looking.0;
    say(format!("{} samples", samples.len()));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(901);
    let mut trainee = Trainee::new(shape, &samples, &mut rng);
    trainee.train(&samples, rounds, &mut rng, |round, bits| {
        say(format!("round {}: {bits:.3} bits a sample", round + 1));
    });
    let weights = trainee.weights();
    let network = Network::new(shape, &weights).ok_or(odd)?;
    let mut counting = Counting(PARTS.map(|part| vec![0; part.size().0 * part.size().1]));
    visit_all(traces, &mut counting, &Model::new(network, &empty), floors)?;
    Ok(Model::to_bytes(shape, &weights, &frequencies(&counting.0)))
}

/// Turns counts into weights. Rare contexts lean on similar ones: the same degree with any
/// surprise, and the same part.
fn frequencies(counts: &[Vec<u64>; PARTS.len()]) -> [Vec<u16>; PARTS.len()] {
    PARTS.map(|part| {
        let (contexts, symbols) = part.size();
        let counts = &counts[part as usize];
        let group = |context: usize| match part {
            Part::Residual => {
                context % (DEGREES + FINE)
                    + (DEGREES + FINE) * (context / (DEGREES + FINE) / SURPRISES)
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
            weights.extend(smoothed(
                &counts[context * symbols..][..symbols],
                &groups[group(context)],
            ));
        }
        weights
    })
}

fn smoothed(counts: &[u64], like: &[u64]) -> Vec<u16> {
    const LEAN: f64 = 8.0;
    const MOST: f64 = 16_000.0;
    let (all, all_like) = (
        counts.iter().sum::<u64>() as f64,
        like.iter().sum::<u64>().max(1) as f64,
    );
    let weight = |(count, like): (&u64, &u64)| {
        let expected = *like as f64 / all_like;
        ((*count as f64 + LEAN * expected) / (all + LEAN) * MOST) as u16
    };
    counts.iter().zip(like).map(weight).collect()
}
