//! Content of a frame: a header, a keyframe, or one tick with its input and the hashes of its
//! outcome.
//!
//! ```text
//! tick:32
//! golomb(leaves, 0) { client:32 }   golomb(joins, 0) { client:32 }
//! golomb(commands, 4) { golomb(gap to the client before, 0)  same-as-its-last:1 [ command ] }
//! world hash:64   golomb(components, 3) { hash:32 }
//! has-state:1 [ golomb(changed, 4) { slot:14 state:16+5+33 fields } ]
//! ```
//! "Its last" is the client's last command since the keyframe; before the first it is the default.

mod segment;

use std::collections::BTreeMap;

use bitcode::{Decode, Encode};
use thiserror::Error;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;
use truetick_netcode::limits::{COMPONENTS, ENTITIES};
use truetick_netcode::schema::{KindId, Schema};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

pub use self::segment::{Segment, join};
use crate::frame::FrameError;
use crate::simulation::{Keyframe, TickInput};

/// Kind of a frame that holds a [`Header`].
pub const HEADER: u8 = 1;
/// Kind of a frame that holds a [`Keyframe`].
pub const KEYFRAME: u8 = 2;
/// Kind of a frame that holds a [`TickRecord`].
pub const TICK: u8 = 3;

/// Kind of the empty frame that ends a recording. Without it the writer was killed, or still runs.
pub const END: u8 = 5;

/// Maximum number of clients in one tick's record.
const CLIENTS: usize = 65_536;

/// First frame of a segment: the settings of the room and the build that ran it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Number of the recording, which all its segments share.
    pub recording: u64,
    /// Name of the game.
    pub game: String,
    /// The game's own settings, in its own encoding.
    pub setup: Vec<u8>,
    /// Ticks per second.
    pub tick_rate: u32,
    /// Seed of the room's rng.
    pub seed: u64,
    /// Hash of the schema.
    pub schema: u64,
    /// Hash of the build; see [`super::build_hash`].
    pub build: u64,
    /// Number of the segment, from 0.
    pub segment: u32,
    /// Whether ticks include the state that changed.
    pub with_state: bool,
}

/// A slot after a tick that changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Number of the slot.
    pub slot: u16,
    /// The entity that is there now; `None` if the slot is free.
    pub now: Option<ChangedEntity>,
}

/// An entity after a tick that changed it; see [`Changed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedEntity {
    /// Generation of the slot.
    pub generation: u16,
    /// Kind of the entity.
    pub kind: KindId,
    /// Client that owns the entity, if any.
    pub owner: Option<ClientId>,
    /// Values of all fields.
    pub fields: Vec<u32>,
}

/// One tick: its input and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct TickRecord<C> {
    /// Number of the tick.
    pub tick: Tick,
    /// Leaves, joins and commands, in their order.
    pub input: TickInput<C>,
    /// Hash of the world after the tick.
    pub world_hash: u64,
    /// Hash of each component over all entities, in the order of the schema.
    pub components: Vec<u32>,
    /// The slots that the tick changed, by rising number; `None` if the recording does not include
    /// state.
    pub state: Option<Vec<Changed>>,
}

/// One record of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<C> {
    /// The complete world at this point.
    Keyframe(Keyframe),
    /// The next tick.
    Tick(TickRecord<C>),
    /// The recording was ended properly.
    End,
}

/// Why a recording cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The frames are torn or damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame is whole, but its content does not conform to the format.
    #[error("the frame at byte {at} holds no {what}")]
    Content {
        /// The byte at which the frame begins.
        at: usize,
        /// The content that was expected.
        what: &'static str,
    },
}

/// Last command of each client since the keyframe.
pub(super) type Last<C> = BTreeMap<ClientId, C>;

fn write_clients(writer: &mut BitWriter, clients: &[ClientId]) {
    writer.write_golomb(clients.len() as u32, 0);
    clients.iter().for_each(|client| writer.write(client.0, 32));
}

fn read_clients(reader: &mut BitReader<'_>) -> Result<Vec<ClientId>, WireError> {
    let count = read_count(reader, 0, CLIENTS)?;
    (0..count).map(|_| Ok(ClientId(reader.read(32)?))).collect()
}

fn read_count(reader: &mut BitReader<'_>, order: u32, most: usize) -> Result<usize, WireError> {
    match reader.read_golomb(order)? as usize {
        count if count <= most => Ok(count),
        _ => Err(WireError::Malformed("count out of range")),
    }
}

/// Writes a tick's input.
pub(super) fn write_input<C: Command>(
    writer: &mut BitWriter,
    tick: Tick,
    input: &TickInput<C>,
    last: &mut Last<C>,
) {
    writer.write(tick.0, 32);
    write_clients(writer, &input.leaves);
    write_clients(writer, &input.joins);
    writer.write_golomb(input.commands.len() as u32, 4);
    let mut next = 0;
    for (client, command) in &input.commands {
        writer.write_golomb(client.0 - next, 0);
        next = client.0 + 1;
        let before = last.entry(*client).or_default();
        writer.write_flag(before == command);
        if before != command {
            command.write(writer);
            *before = command.clone();
        }
    }
    input
        .leaves
        .iter()
        .for_each(|client| drop(last.remove(client)));
}

fn read_input<C: Command>(
    reader: &mut BitReader<'_>,
    last: &mut Last<C>,
) -> Result<(Tick, TickInput<C>), WireError> {
    let tick = Tick(reader.read(32)?);
    let (leaves, joins) = (read_clients(reader)?, read_clients(reader)?);
    let count = read_count(reader, 4, CLIENTS)?;
    let (mut commands, mut next) = (Vec::new(), 0u32);
    for _ in 0..count {
        let client = next
            .checked_add(reader.read_golomb(0)?)
            .ok_or(WireError::Malformed("client out of range"))?;
        next = client.saturating_add(1);
        let before = last.entry(ClientId(client)).or_default();
        if !reader.read_flag()? {
            *before = C::read(reader)?;
        }
        commands.push((ClientId(client), before.clone()));
    }
    leaves.iter().for_each(|client| drop(last.remove(client)));
    Ok((
        tick,
        TickInput {
            leaves,
            joins,
            commands,
        },
    ))
}

/// Writes a tick's outcome.
pub(super) fn write_outcome(
    writer: &mut BitWriter,
    schema: &Schema,
    world_hash: u64,
    components: &[u32],
    state: Option<&[Changed]>,
) {
    writer.write_u64(world_hash);
    writer.write_golomb(components.len() as u32, 3);
    components.iter().for_each(|hash| writer.write(*hash, 32));
    writer.write_flag(state.is_some());
    let Some(state) = state else { return };
    writer.write_golomb(state.len() as u32, 4);
    for changed in state {
        writer.write(u32::from(changed.slot), 14);
        writer.write_flag(changed.now.is_some());
        let Some(now) = &changed.now else { continue };
        writer.write(u32::from(now.generation), 16);
        writer.write(u32::from(now.kind.0), 5);
        writer.write_flag(now.owner.is_some());
        now.owner.iter().for_each(|owner| writer.write(owner.0, 32));
        for (field, value) in schema.kind(now.kind).fields.iter().zip(&now.fields) {
            writer.write(*value, field.bits);
        }
    }
}

type Outcome = (u64, Vec<u32>, Option<Vec<Changed>>);

fn read_outcome(reader: &mut BitReader<'_>, schema: &Schema) -> Result<Outcome, WireError> {
    let world_hash = reader.read_u64()?;
    let count = read_count(reader, 3, COMPONENTS)?;
    let components: Result<Vec<u32>, _> = (0..count).map(|_| reader.read(32)).collect();
    let state = match reader.read_flag()? {
        true => {
            let count = read_count(reader, 4, ENTITIES)?;
            Some(
                (0..count)
                    .map(|_| read_changed(reader, schema))
                    .collect::<Result<Vec<_>, _>>()?,
            )
        }
        false => None,
    };
    Ok((world_hash, components?, state))
}

fn read_changed(reader: &mut BitReader<'_>, schema: &Schema) -> Result<Changed, WireError> {
    let slot = reader.read(14)? as u16;
    if !reader.read_flag()? {
        return Ok(Changed { slot, now: None });
    }
    let generation = reader.read(16)? as u16;
    let (kind, info) = schema
        .find_kind(reader.read(5)?)
        .ok_or(WireError::Malformed("unknown entity kind"))?;
    let owner = if reader.read_flag()? {
        Some(ClientId(reader.read(32)?))
    } else {
        None
    };
    let fields = info
        .fields
        .iter()
        .map(|field| reader.read(field.bits))
        .collect::<Result<_, _>>()?;
    Ok(Changed {
        slot,
        now: Some(ChangedEntity {
            generation,
            kind,
            owner,
            fields,
        }),
    })
}

fn read_tick<C: Command>(
    payload: &[u8],
    schema: &Schema,
    last: &mut Last<C>,
) -> Result<TickRecord<C>, WireError> {
    let mut reader = BitReader::new(payload);
    let (tick, input) = read_input(&mut reader, last)?;
    let (world_hash, components, state) = read_outcome(&mut reader, schema)?;
    reader.finish()?;
    Ok(TickRecord {
        tick,
        input,
        world_hash,
        components,
        state,
    })
}
