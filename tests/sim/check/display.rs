//! Checks the displayed time: it never goes back, never jumps, and does not stand still while
//! snapshots flow.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use crate::mark::{Mark, Marks};

/// Maximum distance of snapshots that flow.
const GAP: Duration = Duration::from_millis(60);

/// Time for which snapshots must have flowed.
const FLOWING: Duration = Duration::from_millis(300);

/// Maximum time for which a display stands still while they flow.
const STILL: Duration = Duration::from_millis(60);

/// Standstill that is counted as a mark.
const STOOD: Duration = Duration::from_millis(250);

/// Maximum ratio of displayed time to time, except for a cut.
const FASTEST: f64 = 3.25;

/// A display that advances by less than this share of time stands still.
const STILL_SHARE: f64 = 0.05;

/// A client's display at one moment of its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Time of the client's clock.
    pub now: Timestamp,
    /// Displayed time, in ticks.
    pub shown: f64,
    /// Tick of the newest snapshot.
    pub newest: Tick,
    /// Number of cuts so far.
    pub cuts: u64,
    /// Length of a tick.
    pub tick: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    life: u64,
    frame: Frame,
    news_at: Timestamp,
    flows_since: Timestamp,
    still: Duration,
}

/// A life of a client: from one start of its process to the next.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Index of the client in the run.
    pub client: usize,
    /// Number of lives before this one.
    pub life: u64,
}

/// Checks the displayed time of all clients.
#[derive(Debug, Default)]
pub(crate) struct DisplayCheck(BTreeMap<usize, Seen>);

impl DisplayCheck {
    /// Checks a frame that a client displays.
    pub fn frame(&mut self, life: Life, frame: Frame, marks: &mut Marks, wrong: &mut Vec<String>) {
        let (Life { client, life }, now) = (life, frame.now);
        let fresh = Seen {
            life,
            frame,
            news_at: now,
            flows_since: now,
            still: Duration::ZERO,
        };
        let seen = self.0.entry(client).or_insert(fresh);
        if seen.life != life {
            *seen = fresh;
        }
        let before = std::mem::replace(&mut seen.frame, frame);
        let passed = now.since(before.now).as_secs_f64();
        if passed == 0.0 {
            return;
        }
        if now.since(seen.news_at) > GAP {
            seen.flows_since = now;
        }
        if frame.newest != before.newest {
            seen.news_at = now;
        }
        let moved = (frame.shown - before.shown) * frame.tick.as_secs_f64();
        let stood = moved < STILL_SHARE * passed;
        let still = if stood {
            seen.still + now.since(before.now)
        } else {
            Duration::ZERO
        };
        let was = std::mem::replace(&mut seen.still, still);
        marks.add(Mark::DisplayStood, u64::from(was < STOOD && still >= STOOD));
        let flows = now.since(seen.flows_since) >= FLOWING;
        if moved < -1e-6 {
            wrong.push(format!(
                "client {client}: its display goes back by {:.1} ms",
                -moved * 1e3
            ));
        }
        if frame.cuts == before.cuts && moved > FASTEST * passed + 1e-3 {
            let (moved, passed) = (moved * 1e3, passed * 1e3);
            wrong.push(format!(
                "client {client}: its display leaps by {moved:.1} ms in {passed:.1} ms"
            ));
        }
        if flows && still > STILL {
            wrong.push(format!(
                "client {client}: its display stands still for {still:?} while packets flow"
            ));
        }
    }
}
