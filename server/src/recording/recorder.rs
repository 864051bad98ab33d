//! Writes a room's recording, tick by tick, as chunks of bytes for the caller to store.

use std::collections::VecDeque;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::command::Command;
use truetick_netcode::replication::state_ring::{Entry, StateRing};
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use super::record::{
    Changed, ChangedEntity, END, HEADER, Header, KEYFRAME, Last, TICK, write_input, write_outcome,
};
use crate::frame::FrameWriter;
use crate::game::Game;
use crate::simulation::{Simulation, TickInput};

/// Number of ticks between two keyframes. A replay that starts anywhere runs at most this many
/// ticks first.
pub(crate) const KEYFRAME_TICKS: u32 = 600;

/// Minimum number of ticks in a segment, however large its keyframe is.
const SEGMENT_TICKS: u32 = 60;

/// Settings of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Number of the recording, which must be unique.
    pub recording: u64,
    /// Name of the game.
    pub game: String,
    /// The game's own settings, in its own encoding.
    pub setup: Vec<u8>,
    /// Whether each tick includes the state that it changed. This takes several times the bytes,
    /// but traces even a difference that never happens again to its field.
    pub with_state: bool,
    /// Number of bytes after which a new segment begins.
    pub segment_bytes: usize,
}

/// Bytes to be appended to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Number of the segment, from 0. A higher number than before begins a new segment.
    pub segment: u32,
    /// The bytes to append.
    pub bytes: Vec<u8>,
}

/// Generation and owner in a slot, by which spawns and despawns are detected.
type Place = Option<(u16, Option<ClientId>)>;

/// Writes a room's recording. Chunks are taken by [`Recorder::poll`].
pub struct Recorder<C> {
    segment_bytes: usize,
    header: Header,
    frames: FrameWriter,
    out: Vec<u8>,
    written: usize,
    ticks: u32,
    since_keyframe: u32,
    last: Last<C>,
    bits: BitWriter,
    places: Vec<Place>,
    ready: VecDeque<Chunk>,
}

impl<C: Command> Recorder<C> {
    /// Begins a recording with the present world. `tick_rate` and `seed` are those of the room.
    pub fn begin<G: Game<Command = C>>(
        config: RecorderConfig,
        tick_rate: u32,
        seed: u64,
        simulation: &Simulation<G>,
    ) -> Self {
        let RecorderConfig {
            recording,
            game,
            setup,
            with_state,
            segment_bytes,
        } = config;
        let schema = simulation.registry().schema().hash();
        let build = super::build_hash();
        let header = Header {
            recording,
            game,
            setup,
            tick_rate,
            seed,
            schema,
            build,
            segment: 0,
            with_state,
        };
        let mut recorder = Self {
            segment_bytes,
            header,
            frames: FrameWriter::default(),
            out: Vec::new(),
            written: 0,
            ticks: 0,
            since_keyframe: 0,
            last: Last::new(),
            bits: BitWriter::new(),
            places: Vec::new(),
            ready: VecDeque::new(),
        };
        recorder.begin_segment(simulation);
        recorder
    }

    fn begin_segment<G: Game<Command = C>>(&mut self, simulation: &Simulation<G>) {
        self.frames = FrameWriter::begin(&mut self.out);
        self.frames
            .append(HEADER, &bitcode::encode(&self.header), &mut self.out);
        self.written = 0;
        self.keyframe(simulation);
    }

    fn keyframe<G: Game<Command = C>>(&mut self, simulation: &Simulation<G>) {
        self.frames.append(
            KEYFRAME,
            &bitcode::encode(&simulation.keyframe()),
            &mut self.out,
        );
        self.since_keyframe = 0;
        self.last.clear();
        self.places.clear();
        self.places
            .extend((0..simulation.ring().slots()).map(|slot| place(simulation.ring(), slot)));
    }

    /// Records the input of a tick that is about to run.
    pub fn input(&mut self, tick: Tick, input: &TickInput<C>) {
        self.bits.clear();
        write_input(&mut self.bits, tick, input, &mut self.last);
    }

    /// Records the outcome of the tick that has just run.
    pub fn outcome<G: Game<Command = C>>(&mut self, simulation: &Simulation<G>) {
        let state = self
            .header
            .with_state
            .then(|| self.changed(simulation.ring()));
        let schema = simulation.registry().schema();
        let components = simulation.component_hashes();
        write_outcome(
            &mut self.bits,
            schema,
            simulation.world_hash(),
            &components,
            state.as_deref(),
        );
        self.bits.pad_to_byte();
        self.frames.append(TICK, self.bits.bytes(), &mut self.out);
        self.ticks += 1;
        self.since_keyframe += 1;
        if self.written + self.out.len() >= self.segment_bytes
            && self.since_keyframe >= SEGMENT_TICKS
        {
            self.hand_over();
            self.header.segment += 1;
            self.begin_segment(simulation);
        } else if self.since_keyframe >= KEYFRAME_TICKS {
            self.keyframe(simulation);
        }
        // About once a second. A crash loses at most this much, apart from what the system had not
        // written.
        if self.ticks.is_multiple_of(self.header.tick_rate) {
            self.hand_over();
        }
    }

    fn changed(&mut self, ring: &StateRing) -> Vec<Changed> {
        let mut changed = Vec::new();
        self.places.resize(ring.slots(), None);
        for (slot, before) in self.places.iter_mut().enumerate() {
            let now = place(ring, slot);
            let entry = ring.entry(slot as u16);
            let moved = entry.is_some_and(|entry| entry.current().tick == ring.tick());
            if std::mem::replace(before, now) != now || moved {
                changed.push(Changed {
                    slot: slot as u16,
                    now: entry.map(copy),
                });
            }
        }
        changed
    }

    fn hand_over(&mut self) {
        self.written += self.out.len();
        let bytes = std::mem::take(&mut self.out);
        self.ready.push_back(Chunk {
            segment: self.header.segment,
            bytes,
        });
    }

    /// Takes the next chunk to be stored.
    pub fn poll(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// Ends the recording. The remaining chunks must still be polled.
    pub fn finish(&mut self) {
        self.frames.append(END, &[], &mut self.out);
        self.hand_over();
    }
}

fn place(ring: &StateRing, slot: usize) -> Place {
    ring.entry(slot as u16)
        .map(|entry| (entry.id.generation, entry.owner))
}

fn copy(entry: &Entry) -> ChangedEntity {
    ChangedEntity {
        generation: entry.id.generation,
        kind: entry.kind,
        owner: entry.owner,
        fields: entry.current().fields.to_vec(),
    }
}
