//! Compares two recordings without running them.

use truetick_netcode::command::Command;
use truetick_netcode::schema::Schema;
use truetick_netcode::tick::Tick;

use super::difference::{Divergence, Entities};
use super::record::{Record, RecordError, Segment, TickRecord};
use crate::core::simulation::TickInput;

/// What comparing two recordings gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Ticks that both hold and that were compared.
    pub ticks: u64,
    /// Where they part, if they do.
    pub divergence: Option<Divergence>,
}

/// The ticks of a recording, with the world after each where it holds state.
struct Ticks<'a, C> {
    segments: std::slice::Iter<'a, Vec<u8>>,
    segment: Option<Segment<'a, C>>,
    schema: &'a Schema,
    world: Option<Entities>,
}

impl<'a, C: Command> Ticks<'a, C> {
    fn new(segments: &'a [Vec<u8>], schema: &'a Schema) -> Self {
        Self { segments: segments.iter(), segment: None, schema, world: None }
    }

    fn next_tick(&mut self) -> Result<Option<TickRecord<C>>, RecordError> {
        loop {
            let Some(segment) = &mut self.segment else {
                let Some(bytes) = self.segments.next() else { return Ok(None) };
                self.segment = Some(Segment::open(bytes)?);
                continue;
            };
            match segment.next_record(self.schema) {
                Ok(None) => self.segment = None,
                Ok(Some(Record::Keyframe(keyframe))) => {
                    self.world = segment.header().with_state.then(|| Entities::of(&keyframe));
                }
                Ok(Some(Record::Tick(tick))) => {
                    if let (Some(world), Some(state)) = (&mut self.world, &tick.state) {
                        world.apply(state);
                    }
                    return Ok(Some(tick));
                }
                // A torn end is where the recording ends.
                Err(RecordError::Frame(super::frame::FrameError::Torn(_))) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Finds the first tick in which two recordings of the same schema differ: by what went in, or by what came out.
pub fn compare<C: Command>(
    left: &[Vec<u8>],
    right: &[Vec<u8>],
    schema: &Schema,
) -> Result<Compared, RecordError> {
    let (mut left, mut right) = (Ticks::<C>::new(left, schema), Ticks::<C>::new(right, schema));
    let (mut a, mut b) = (left.next_tick()?, right.next_tick()?);
    let mut ticks = 0;
    while let (Some(one), Some(other)) = (&a, &b) {
        if one.tick != other.tick {
            match one.tick.is_after(other.tick) {
                true => b = right.next_tick()?,
                false => a = left.next_tick()?,
            }
            continue;
        }
        ticks += 1;
        if one.input != other.input || one.world_hash != other.world_hash {
            let mut divergence = outcome(one, other, schema);
            divergence.inputs = inputs(&one.input, &other.input);
            if let (Some(left), Some(right)) = (&left.world, &right.world) {
                divergence.differences = left.differences(right, schema);
            }
            return Ok(Compared { ticks, divergence: Some(divergence) });
        }
        (a, b) = (left.next_tick()?, right.next_tick()?);
    }
    Ok(Compared { ticks, divergence: None })
}

fn outcome<C>(left: &TickRecord<C>, right: &TickRecord<C>, schema: &Schema) -> Divergence {
    Divergence {
        components: differing(schema, &left.components, &right.components),
        ..Divergence::at(left.tick)
    }
}

/// Names of the components whose hashes differ.
pub(super) fn differing(schema: &Schema, left: &[u32], right: &[u32]) -> Vec<&'static str> {
    let both = schema.components().zip(left.iter().zip(right));
    both.filter(|(_, (a, b))| a != b).map(|(component, _)| component.name).collect()
}

fn inputs<C: Command>(left: &TickInput<C>, right: &TickInput<C>) -> Vec<String> {
    let mut said = Vec::new();
    if left.leaves != right.leaves {
        said.push(format!("clients that left: {:?}, {:?}", left.leaves, right.leaves));
    }
    if left.joins != right.joins {
        said.push(format!("clients that came: {:?}, {:?}", left.joins, right.joins));
    }
    let find = |input: &TickInput<C>, client| {
        input.commands.iter().find(|(of, _)| *of == client).map(|(_, command)| command.clone())
    };
    let mut clients: Vec<_> =
        left.commands.iter().chain(&right.commands).map(|(client, _)| *client).collect();
    clients.sort_unstable();
    clients.dedup();
    for client in clients {
        let (a, b) = (find(left, client), find(right, client));
        if a != b {
            said.push(format!("command of client {}: {a:?}, {b:?}", client.0));
        }
    }
    said
}

impl Divergence {
    /// At a tick, of which nothing more is known.
    pub fn at(tick: Tick) -> Self {
        Self { tick, stage: None, inputs: Vec::new(), components: Vec::new(), differences: Vec::new() }
    }
}
