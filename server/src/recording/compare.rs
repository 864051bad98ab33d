//! Compares two recordings without running them.

use truetick_netcode::command::Command;
use truetick_netcode::schema::Schema;

use super::difference::{Divergence, Entities};
use super::record::{Record, TickRecord};
use super::records::{End, Records};
use super::replay::ReplayError;
use crate::simulation::TickInput;

/// Result of comparing two recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Number of ticks that are in both recordings and were compared.
    pub ticks: u64,
    /// Number of ticks that are in the left recording only, as far as it was read.
    pub only_left: u64,
    /// Number of ticks that are in the right recording only, as far as it was read.
    pub only_right: u64,
    /// The first difference, if any.
    pub divergence: Option<Divergence>,
    /// How each recording ends. Only meaningful if they do not differ.
    pub ends: [End; 2],
}

/// The ticks of a recording, with the world after each if it includes state.
struct Ticks<'a, C> {
    records: Records<'a, C>,
    world: Option<Entities>,
}

impl<'a, C: Command> Ticks<'a, C> {
    fn open(segments: &'a [Vec<u8>], schema: &'a Schema) -> Result<Self, ReplayError> {
        Ok(Self {
            records: Records::open(segments, schema)?,
            world: None,
        })
    }

    fn next_tick(&mut self) -> Option<TickRecord<C>> {
        loop {
            match self.records.next_record()? {
                Record::Keyframe(keyframe) => {
                    self.world = self.records.with_state().then(|| Entities::of(&keyframe));
                }
                Record::Tick(tick) => {
                    if let (Some(world), Some(state)) = (&mut self.world, &tick.state) {
                        world.apply(state);
                    }
                    return Some(tick);
                }
                Record::End => {}
            }
        }
    }
}

/// Finds the first tick in which two recordings of the same schema differ, by input or by outcome.
///
/// # Errors
/// If a recording cannot be read or has another schema.
pub fn compare<C: Command>(
    left: &[Vec<u8>],
    right: &[Vec<u8>],
    schema: &Schema,
) -> Result<Compared, ReplayError> {
    let (mut left, mut right) = (
        Ticks::<C>::open(left, schema)?,
        Ticks::<C>::open(right, schema)?,
    );
    let (mut a, mut b) = (left.next_tick(), right.next_tick());
    let (mut ticks, mut only_left, mut only_right) = (0, 0, 0);
    let mut divergence = None;
    while divergence.is_none() && (a.is_some() || b.is_some()) {
        match (&a, &b) {
            (Some(one), Some(other)) if one.tick == other.tick => {
                ticks += 1;
                divergence = differs((one, &left.world), (other, &right.world), schema);
                (a, b) = (left.next_tick(), right.next_tick());
            }
            (Some(one), Some(other)) if one.tick.is_after(other.tick) => {
                only_right += 1;
                b = right.next_tick();
            }
            (None, _) => {
                only_right += 1;
                b = right.next_tick();
            }
            _ => {
                only_left += 1;
                a = left.next_tick();
            }
        }
    }
    let ends = [left.records.into_end(), right.records.into_end()];
    Ok(Compared {
        ticks,
        only_left,
        only_right,
        divergence,
        ends,
    })
}

type Side<'a, C> = (&'a TickRecord<C>, &'a Option<Entities>);

fn differs<C: Command>(
    left: Side<'_, C>,
    right: Side<'_, C>,
    schema: &Schema,
) -> Option<Divergence> {
    let ((one, before), (other, after)) = (left, right);
    if one.input == other.input && one.world_hash == other.world_hash {
        return None;
    }
    let both = before.as_ref().zip(after.as_ref());
    Some(Divergence {
        inputs: inputs(&one.input, &other.input),
        components: differing(schema, &one.components, &other.components),
        differences: both.map_or(Vec::new(), |(left, right)| left.differences(right, schema)),
        ..Divergence::at(one.tick)
    })
}

/// Names of the components whose hashes differ.
pub(super) fn differing(schema: &Schema, left: &[u32], right: &[u32]) -> Vec<&'static str> {
    let both = schema.components().zip(left.iter().zip(right));
    both.filter(|(_, (a, b))| a != b)
        .map(|(component, _)| component.name)
        .collect()
}

fn inputs<C: Command>(left: &TickInput<C>, right: &TickInput<C>) -> Vec<String> {
    let mut said = Vec::new();
    if left.leaves != right.leaves {
        said.push(format!(
            "clients that left: {:?}, {:?}",
            left.leaves, right.leaves
        ));
    }
    if left.joins != right.joins {
        said.push(format!(
            "clients that came: {:?}, {:?}",
            left.joins, right.joins
        ));
    }
    let find = |input: &TickInput<C>, client| {
        input
            .commands
            .iter()
            .find(|(of, _)| *of == client)
            .map(|(_, command)| command.clone())
    };
    let mut clients: Vec<_> = left
        .commands
        .iter()
        .chain(&right.commands)
        .map(|(client, _)| *client)
        .collect();
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
