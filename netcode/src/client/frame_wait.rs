//! The time that a command waits from when it is due until the caller polls for it.
//!
//! A caller that sleeps until a command is due polls in time, except for timer noise. A caller that
//! polls once per frame lets commands wait for up to a frame. The delay of its polls shows which
//! kind a caller is.
//!
//! The lead for a caller of the second kind covers the length of a frame, not the waits that were
//! observed: where frames are locked to ticks, observed waits would form a limit cycle.

use std::collections::VecDeque;

use super::delay_window::{DelaySample, DelayWindow};

/// A wait above this is more than timer noise, in microseconds.
const NOISE_US: f64 = 3_000.0;

/// Number of newest commands that decide which kind a caller is.
const COMMANDS: usize = 32;

/// A caller counts as polling once per frame until the share of commands that wait falls below
/// this. Frames that drift slowly against ticks are in time by chance for a second, and the timers
/// of a busy machine are late now and then.
const FEW: f64 = 0.1;

/// Weight of the newest command in the moving average of the share.
const SHARE_GAIN: f64 = 1.0 / 128.0;

/// Cost of a frame for which all commands wait, as an equivalent lead in microseconds.
const WEIGHT_US: i64 = 1_000_000;

/// Measures how long commands wait for the caller's frame. Times are in microseconds of the local
/// clock.
#[derive(Clone, Debug)]
pub(super) struct FrameWait {
    dt_us: f64,
    /// Whether each of the newest commands waited.
    waited: VecDeque<bool>,
    /// Share of commands that waited, over the last few seconds.
    share: f64,
    by_frame: bool,
    asked_us: Option<f64>,
    /// Intervals between frames, for a caller that polls once per frame.
    intervals: DelayWindow,
    wait_us: f64,
}

impl FrameWait {
    /// A measurement for ticks of `dt_us` microseconds.
    pub fn new(dt_us: f64) -> Self {
        Self {
            dt_us,
            waited: VecDeque::with_capacity(COMMANDS),
            share: 0.0,
            by_frame: false,
            asked_us: None,
            intervals: DelayWindow::default(),
            wait_us: 0.0,
        }
    }

    /// How much earlier commands must be due so that none waits too long for a frame, in
    /// microseconds.
    pub(crate) fn wait_us(&self) -> f64 {
        self.wait_us
    }

    /// The caller polled, and no command was due.
    pub fn polled(&mut self, now_us: f64) {
        self.note_interval(now_us);
    }

    /// The caller polled and got the command that was due at `due_us`. Returns the time from which
    /// its transit counts: timer noise is part of the path.
    pub fn given(&mut self, due_us: f64, now_us: f64) -> f64 {
        if self.waited.len() == COMMANDS {
            self.waited.pop_front();
        }
        let waited = now_us - due_us > NOISE_US;
        self.waited.push_back(waited);
        self.share += (f64::from(u8::from(waited)) - self.share) * SHARE_GAIN;
        let (waits, of) = (
            self.waited.iter().filter(|waited| **waited).count(),
            self.waited.len(),
        );
        let asks_late = of >= 4 && waits * 8 >= of * 3;
        if asks_late && !self.by_frame {
            self.share = 1.0;
        }
        self.by_frame = asks_late || (self.by_frame && self.share > FEW);
        self.note_interval(now_us);
        match self.by_frame || now_us - due_us > self.dt_us {
            true => now_us,
            false => due_us,
        }
    }

    fn note_interval(&mut self, now_us: f64) {
        let interval = now_us - self.asked_us.replace(now_us).unwrap_or(now_us);
        if !self.by_frame {
            (self.intervals, self.wait_us) = (DelayWindow::default(), 0.0);
        } else if interval > 1.0 {
            // A frame may take several commands.
            let length_us = interval as i64;
            self.intervals.push(DelaySample {
                at_us: now_us as i64,
                need_us: length_us,
                span_us: length_us,
            });
            self.wait_us = self.intervals.cheapest(WEIGHT_US).unwrap_or(0) as f64;
        }
    }
}
