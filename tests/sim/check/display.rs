//! What a display shows: its time never goes back, never leaps, and does not stand still while
//! packets flow.

use std::collections::BTreeMap;
use std::time::Duration;

use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;

use crate::mark::{Mark, Marks};

/// Snapshots that are further apart do not flow.
const GAP: Duration = Duration::from_millis(60);

/// Snapshots flow when they did for so long.
const FLOWING: Duration = Duration::from_millis(300);

/// While they flow a display stands still for so long at most.
const STILL: Duration = Duration::from_millis(60);

/// A display that stood still for so long is worth a mark.
const STOOD: Duration = Duration::from_millis(250);

/// Most that the time shown may pass faster than time, but for a cut.
const FASTEST: f64 = 3.25;

/// A display that moves less than this share of time stands still.
const STILL_SHARE: f64 = 0.05;

/// What a client's display shows at one moment of its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The moment.
    pub now: Timestamp,
    /// The time shown, in ticks.
    pub shown: f64,
    /// The newest snapshot.
    pub newest: Tick,
    /// Cuts so far.
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

/// See the module.
#[derive(Debug, Default)]
pub struct DisplayCheck(BTreeMap<usize, Seen>);

impl DisplayCheck {
    /// A client in one of its lives shows a frame.
    pub fn frame(
        &mut self,
        (client, life): (usize, u64),
        frame: Frame,
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) {
        let now = frame.now;
        let fresh = Seen { life, frame, news_at: now, flows_since: now, still: Duration::ZERO };
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
        let still = if stood { seen.still + now.since(before.now) } else { Duration::ZERO };
        let was = std::mem::replace(&mut seen.still, still);
        marks.add(Mark::DisplayStood, u64::from(was < STOOD && still >= STOOD));
        let flows = now.since(seen.flows_since) >= FLOWING;
        if moved < -1e-6 {
            wrong.push(format!("client {client}: its display goes back by {:.1} ms", -moved * 1e3));
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
