//! Frames of rigid bodies over a lossy path. Each builds on acknowledged frames and is checked at
//! the other end.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::link_sim::{LinkConfig, LinkSim};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_rigid_body::model::Model;
use truetick_rigid_body::{Acknowledged, Bodies, Body, BodyBaselines, OLDER, PastTicks};

use crate::traces::{FLOORS, pasts};

/// Number of frames that both sides have at the start.
pub const FIRST: usize = 6;

/// Number of frames kept: twice the maximum age and gap.
const KEPT: usize = 64;

/// One-way delay, for which a frame is acknowledged six ticks after it was sent.
const ONE_WAY: Duration = Duration::from_micros(48_000);

const TICK: Duration = Duration::from_micros(16_667);

/// Figures of a run over a lossy path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Bytes of all frames.
    pub bytes: usize,
    /// Number of frames sent.
    pub frames: usize,
    /// Number of frames that the path lost.
    pub lost: usize,
    /// Number of frames received and decoded.
    pub decoded: usize,
    /// Number of decoded frames that differ from the original.
    pub wrong: usize,
    /// Number of frames with gaps in their baselines.
    pub gapped: usize,
    /// Sum of the ages of all baselines, in ticks.
    pub ages: u64,
}

/// A decoded frame that later frames may build on.
struct HeldFrame {
    frame: usize,
    bodies: Vec<Body>,
}

/// The receiving end, which keeps the decoded frames.
struct Client {
    connection: Connection,
    bodies: Bodies,
    held: VecDeque<HeldFrame>,
    wrong: usize,
    decoded: usize,
}

impl Client {
    /// Creates a client that has the first frames of a trace.
    fn new(model: &'static Model, trace: &[Vec<Body>], now: Timestamp) -> Self {
        let first = trace.iter().take(FIRST).cloned().enumerate();
        let first = first.map(|(frame, bodies)| HeldFrame { frame, bodies });
        Self {
            connection: Connection::new(2, now),
            bodies: Bodies::new(model, FLOORS),
            held: first.collect(),
            wrong: 0,
            decoded: 0,
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        trace: &[Vec<Body>],
        now: Timestamp,
    ) -> Result<(), Box<dyn Error>> {
        let (sequence, mut reader) = self.connection.open(bytes, now)?;
        let frame = reader.read(32)? as usize;
        let block = reader.read_bytes(reader.remaining() / 8)?;
        let held = &self.held;
        let decoded = self
            .bodies
            .decode(&block, |ticks| past_of(held, frame, ticks))?;
        self.decoded += 1;
        self.wrong += usize::from(decoded != trace[frame]);
        self.held.push_back(HeldFrame {
            frame,
            bodies: decoded.to_vec(),
        });
        if self.held.len() > KEPT {
            self.held.pop_front();
        }
        self.connection.accept(sequence);
        Ok(())
    }
}

fn past_of(
    held: &VecDeque<HeldFrame>,
    frame: usize,
    ticks: PastTicks,
) -> Option<BodyBaselines<'_>> {
    let find = |tick: usize| {
        held.iter()
            .find(|held| held.frame == tick)
            .map(|held| held.bodies.as_slice())
    };
    let base_tick = frame.checked_sub(ticks.age as usize)?;
    let base = find(base_tick)?;
    let mut older = [base; OLDER];
    for (older, gap) in older.iter_mut().zip(ticks.gaps) {
        *older = find(base_tick.checked_sub(gap as usize)?)?;
    }
    Some(BodyBaselines { base, older, ticks })
}

/// Sends a trace over a path that loses the share `loss` of packets in both directions.
///
/// # Errors
///
/// A frame could not be decoded, or nothing was acknowledged for too long.
pub fn send_over(
    trace: &[Vec<Body>],
    model: &'static Model,
    loss: f64,
    seed: u64,
) -> Result<Outcome, Box<dyn Error>> {
    let config = LinkConfig {
        latency: ONE_WAY,
        loss,
        ..LinkConfig::default()
    };
    let (mut down, mut up) = (LinkSim::new(config, seed), LinkSim::new(config, seed + 1));
    let mut now = Timestamp::from_millis(1_000);
    let (mut bodies, mut acknowledged) = (Bodies::new(model, FLOORS), Acknowledged::default());
    let mut client = Client::new(model, trace, now);
    let mut server = Connection::new(1, now);
    (0..FIRST).for_each(|tick| acknowledged.note(Tick(tick as u32)));
    let (mut writer, mut block, mut sent) = (BitWriter::new(), Vec::new(), VecDeque::new());
    let mut outcome = Outcome::default();
    for frame in FIRST..trace.len() {
        now += TICK;
        while let Some(bytes) = down.pop(now) {
            client.take(&bytes, trace, now)?;
        }
        client.connection.begin(&mut writer, now, Messages::None);
        client.connection.finish(&mut writer, now);
        up.push(writer.bytes(), now);
        while let Some(bytes) = up.pop(now) {
            server.open(&bytes, now)?;
            while let Some(sequence) = server.poll_acked() {
                let of = sent.iter().find(|(other, _)| *other == sequence);
                of.iter()
                    .for_each(|(_, frame)| acknowledged.note(Tick(*frame as u32)));
            }
        }
        let ticks = acknowledged.choose(Tick(frame as u32));
        let ticks = ticks.ok_or("nothing was acknowledged for half a second")?;
        block.clear();
        bodies.encode(&pasts(trace, frame, ticks), &trace[frame], &mut block)?;
        let sequence = server.begin(&mut writer, now, Messages::None);
        writer.write(frame as u32, 32);
        writer.write_bytes(&block);
        server.finish(&mut writer, now);
        down.push(writer.bytes(), now);
        sent.push_back((sequence, frame));
        if sent.len() > KEPT {
            sent.pop_front();
        }
        outcome.frames += 1;
        outcome.bytes += block.len();
        outcome.gapped += usize::from(ticks != PastTicks::whole(ticks.age));
        outcome.ages += u64::from(ticks.age);
    }
    while let Some(bytes) = down.pop(now + ONE_WAY) {
        client.take(&bytes, trace, now)?;
    }
    outcome.lost = down.stats().lost as usize;
    (outcome.decoded, outcome.wrong) = (client.decoded, client.wrong);
    Ok(outcome)
}
