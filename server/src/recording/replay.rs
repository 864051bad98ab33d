//! Runs a recording again and compares it tick by tick, and stage by stage where it differs.

use std::sync::Arc;

use bitcode::{Decode, Encode};
use thiserror::Error;
use truetick_netcode::command::Command;
use truetick_netcode::schema::{Schema, SchemaError};
use truetick_netcode::tick::Tick;

use super::compare::differing;
use super::difference::{Divergence, Entities};
use super::record::{HEADER, Header, Record, RecordError, Segment, TickRecord};
use super::records::{End, Records};
use crate::frame::{FrameReader, FrameWriter};
use crate::game::Game;
use crate::simulation::{Keyframe, Simulation, TickInput};

/// Why a recording cannot be run again.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The game's own schema is not valid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The recording was made with other components, fields or kinds.
    #[error(
        "the recording's schema is {recorded:016x}, this build's is {own:016x}: replay it with the build that made it"
    )]
    OtherSchema {
        /// Hash of the recording's schema.
        recorded: u64,
        /// Hash of this build's schema.
        own: u64,
    },
    /// A tick has no keyframe before it, or does not follow the previous tick.
    #[error("tick {0} does not follow what comes before it in the recording")]
    OutOfOrder(Tick),
    /// The recording does not include the requested tick.
    #[error("tick {0} is not in the recording; {1}")]
    NoSuchTick(Tick, End),
}

/// Result of running a recording again.
pub struct Replayed<G: Game> {
    /// The world at the end, or at the requested tick; `None` if the recording has no keyframe.
    pub simulation: Option<Simulation<G>>,
    /// Number of ticks that ran.
    pub ticks: u64,
    /// The first difference between this run and the recording, if any. The recording is the left
    /// side.
    pub divergence: Option<Divergence>,
    /// How the recording ends; `None` if it was not read to its end.
    pub end: Option<End>,
}

/// Runs `segments`, oldest first, up to the tick `until`, the end, or the first tick that differs.
/// `after` is called with the world after each tick that was equal.
///
/// # Errors
/// If the recording cannot be read, has another schema, is out of order, or does not include
/// `until`.
pub fn replay<G: Game>(
    game: &Arc<G>,
    segments: &[Vec<u8>],
    until: Option<Tick>,
    mut after: impl FnMut(&Simulation<G>),
) -> Result<Replayed<G>, ReplayError> {
    let registry = game.registry()?;
    let mut records = Records::<G::Command>::open(segments, registry.schema())?;
    let mut run = Run {
        game: game.clone(),
        simulation: None,
        recorded: None,
    };
    let (mut ticks, mut divergence, mut end) = (0, None, None);
    while divergence.is_none() && until.is_none_or(|until| run.tick_now() != Some(until)) {
        match records.next_record() {
            None => {
                end = Some(records.into_end());
                break;
            }
            Some(Record::Keyframe(keyframe)) => {
                divergence = run.keyframe(&keyframe, records.with_state())?
            }
            Some(Record::Tick(record)) => {
                divergence = run.tick(record)?;
                ticks += 1;
                run.simulation
                    .iter()
                    .filter(|_| divergence.is_none())
                    .for_each(&mut after);
            }
            Some(Record::End) => {}
        }
    }
    if let Some(until) =
        until.filter(|until| divergence.is_none() && run.tick_now() != Some(*until))
    {
        return Err(ReplayError::NoSuchTick(until, end.unwrap_or_default()));
    }
    Ok(Replayed {
        simulation: run.simulation,
        ticks,
        divergence,
        end,
    })
}

/// The header of the first segment.
///
/// # Errors
/// If there is no segment, or its header is not valid.
pub fn header<C: Command>(segments: &[Vec<u8>]) -> Result<Header, RecordError> {
    let first = segments.first().map_or(&[][..], Vec::as_slice);
    Ok(Segment::<C>::open(first)?.header().clone())
}

struct Run<G: Game> {
    game: Arc<G>,
    simulation: Option<Simulation<G>>,
    /// The recorded world, if the recording includes state.
    recorded: Option<Entities>,
}

impl<G: Game> Run<G> {
    fn tick_now(&self) -> Option<Tick> {
        self.simulation.as_ref().map(Simulation::tick)
    }

    fn keyframe(
        &mut self,
        keyframe: &Keyframe,
        with_state: bool,
    ) -> Result<Option<Divergence>, ReplayError> {
        self.recorded = with_state.then(|| Entities::of(keyframe));
        let Some(simulation) = &self.simulation else {
            self.simulation = Some(Simulation::restore(self.game.clone(), keyframe)?);
            return Ok(None);
        };
        let own = simulation.keyframe();
        if own.tick != keyframe.tick {
            return Err(ReplayError::OutOfOrder(Tick(keyframe.tick)));
        }
        let schema = simulation.registry().schema();
        let differences = Entities::of(keyframe).differences(&Entities::of(&own), schema);
        let tick = simulation.tick();
        Ok((own != *keyframe).then_some(Divergence {
            differences,
            ..Divergence::at(tick)
        }))
    }

    fn tick(&mut self, record: TickRecord<G::Command>) -> Result<Option<Divergence>, ReplayError> {
        let tick = record.tick;
        let simulation = self
            .simulation
            .as_mut()
            .ok_or(ReplayError::OutOfOrder(tick))?;
        if simulation.tick().next() != tick {
            return Err(ReplayError::OutOfOrder(tick));
        }
        simulation.step(record.input);
        simulation.take_events();
        if let (Some(recorded), Some(state)) = (&mut self.recorded, &record.state) {
            recorded.apply(state);
        }
        if simulation.world_hash() == record.world_hash {
            return Ok(None);
        }
        let schema = simulation.registry().schema();
        let components = differing(schema, &record.components, &simulation.component_hashes());
        let recorded = self.recorded.take();
        let differences = recorded
            .map(|recorded| recorded.differences(&Entities::of(&simulation.keyframe()), schema));
        let differences = differences.unwrap_or_default();
        Ok(Some(Divergence {
            components,
            differences,
            ..Divergence::at(tick)
        }))
    }
}

/// A tick's world after one of its stages.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stage {
    /// Name of the stage: [`crate::simulation::ADMIT`], a system, or
    /// [`crate::simulation::CAPTURE`].
    pub name: String,
    /// The world, on its grid.
    pub world: Keyframe,
}

/// Runs a recording again up to `tick` and keeps the world after each of that tick's stages. It
/// runs from the first keyframe on, so that state which a game wrongly keeps outside its schema has
/// its effect. Also returns the first earlier tick after which this run and the recording differed,
/// if any.
///
/// # Errors
/// If the recording cannot be read, has another schema, is out of order, or does not include
/// `tick`.
pub fn stages<G: Game>(
    game: &Arc<G>,
    segments: &[Vec<u8>],
    tick: Tick,
) -> Result<(Vec<Stage>, Option<Tick>), ReplayError> {
    let registry = game.registry()?;
    let mut records = Records::<G::Command>::open(segments, registry.schema())?;
    let (mut world, mut parted) = (None, None);
    while let Some(record) = records.next_record() {
        match record {
            Record::Keyframe(keyframe) if world.is_none() => {
                world = Some(Simulation::restore(game.clone(), &keyframe)?);
            }
            Record::Tick(record) => {
                let simulation = world.as_mut().ok_or(ReplayError::OutOfOrder(record.tick))?;
                if record.tick == tick {
                    return Ok((run_by_stages(simulation, record.input), parted));
                }
                simulation.step(record.input);
                simulation.take_events();
                if parted.is_none() && simulation.world_hash() != record.world_hash {
                    parted = Some(record.tick);
                }
            }
            Record::Keyframe(_) | Record::End => {}
        }
    }
    Err(ReplayError::NoSuchTick(tick, records.into_end()))
}

/// Kind of a frame that holds a [`Stage`].
const STAGE: u8 = 4;

/// Encodes stages as a file.
pub fn write_stages(header: &Header, stages: &[Stage]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut frames = FrameWriter::begin(&mut out);
    frames.append(HEADER, &bitcode::encode(header), &mut out);
    stages
        .iter()
        .for_each(|stage| frames.append(STAGE, &bitcode::encode(stage), &mut out));
    out
}

/// Reads the stages in a file; `None` if the file is a recording.
///
/// # Errors
/// If the file is damaged or a stage does not conform to the schema.
pub fn read_stages(bytes: &[u8], schema: &Schema) -> Result<Option<Vec<Stage>>, RecordError> {
    let mut frames = FrameReader::begin(bytes)?;
    frames.next_frame()?;
    let mut stages = Vec::new();
    loop {
        let at = frames.position();
        match frames.next_frame()? {
            None => break,
            Some((STAGE, payload)) => {
                let stage = bitcode::decode(payload)
                    .ok()
                    .filter(|stage: &Stage| stage.world.is_valid(schema));
                stages.push(stage.ok_or(RecordError::Content { at, what: "stage" })?);
            }
            Some(_) => return Ok(None),
        }
    }
    Ok((!stages.is_empty()).then_some(stages))
}

fn run_by_stages<G: Game>(
    simulation: &mut Simulation<G>,
    input: TickInput<G::Command>,
) -> Vec<Stage> {
    let mut stages = Vec::new();
    simulation.step_by_stages(input, |name, simulation| {
        stages.push(Stage {
            name: name.into(),
            world: simulation.keyframe(),
        });
    });
    stages
}

/// The first stage after which two runs of one tick differ, with the differences.
pub fn first_difference(left: &[Stage], right: &[Stage], schema: &Schema) -> Option<Divergence> {
    let (left, right) = left.iter().zip(right).find(|(left, right)| left != right)?;
    let differences = Entities::of(&left.world).differences(&Entities::of(&right.world), schema);
    let stage = match left.name == right.name {
        true => left.name.clone(),
        false => format!("{} / {}", left.name, right.name),
    };
    Some(Divergence {
        stage: Some(stage),
        differences,
        ..Divergence::at(Tick(left.world.tick))
    })
}

/// Runs a recording's input through two games that should behave alike, and finds the first
/// difference: tick, stage, entity, component and field.
///
/// # Errors
/// If the recording cannot be read, has another schema, or is out of order.
pub fn bisect<G, H>(
    left: &Arc<G>,
    right: &Arc<H>,
    segments: &[Vec<u8>],
) -> Result<Option<Divergence>, ReplayError>
where
    G: Game,
    H: Game<Command = G::Command>,
{
    let registry = left.registry()?;
    let schema = registry.schema();
    let mut records = Records::<G::Command>::open(segments, schema)?;
    let mut worlds: Option<(Simulation<G>, Simulation<H>)> = None;
    while let Some(record) = records.next_record() {
        match record {
            Record::Keyframe(keyframe) if worlds.is_none() => {
                let left = Simulation::restore(left.clone(), &keyframe)?;
                worlds = Some((left, Simulation::restore(right.clone(), &keyframe)?));
            }
            Record::Tick(record) => {
                let (one, other) = worlds
                    .as_mut()
                    .ok_or(ReplayError::OutOfOrder(record.tick))?;
                one.step(record.input.clone());
                other.step(record.input);
                one.take_events();
                other.take_events();
                if one.world_hash() != other.world_hash() {
                    let (a, _) = stages(left, segments, record.tick)?;
                    let (b, _) = stages(right, segments, record.tick)?;
                    return Ok(first_difference(&a, &b, schema));
                }
            }
            Record::Keyframe(_) | Record::End => {}
        }
    }
    Ok(None)
}
