//! How long a command waits from when it is due until the caller asks for it.
//!
//! A caller that sleeps until a command is due asks in time, but for the noise of its timer. One
//! that asks once per frame lets commands wait for up to a frame. Which of the two a caller is
//! shows in how late it asks. The lead of a caller that asks once per frame holds a frame's length,
//! never the waits that were seen: frames that are locked to ticks would make those a limit cycle.

use std::collections::VecDeque;

use super::delay_window::{DelaySample, DelayWindow};

/// A wait above this is more than a timer's noise, in microseconds.
const NOISE_US: f64 = 3_000.0;

/// Number of newest commands that decide how the caller asks.
const COMMANDS: usize = 32;

/// A caller is one that asks once per frame until fewer than this share of commands wait: frames
/// that drift slowly against ticks are in time by chance for a second, and a busy machine's timers
/// are late now and then.
const FEW: f64 = 0.1;

/// Part of the way to the newest command's value that the share goes.
const SHARE_GAIN: f64 = 1.0 / 128.0;

/// A frame for which all commands wait is as bad as this much lead, in microseconds.
const WEIGHT_US: i64 = 1_000_000;

/// See the module. Times are in microseconds of the local clock.
#[derive(Clone, Debug)]
pub(super) struct FrameWait {
    dt_us: f64,
    /// Which of the last commands waited.
    waited: VecDeque<bool>,
    /// Share of commands that waited, over the last few seconds.
    share: f64,
    by_frame: bool,
    asked_us: Option<f64>,
    /// Intervals between frames, of a caller that asks once per frame.
    intervals: DelayWindow,
    wait_us: f64,
}

impl FrameWait {
    /// For ticks of this length.
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

    /// By how much earlier commands must be due so that none waits too long for a frame.
    pub fn wait_us(&self) -> f64 {
        self.wait_us
    }

    /// The caller asked, and nothing was due.
    pub fn polled(&mut self, now_us: f64) {
        self.note_interval(now_us);
    }

    /// The caller asked and got the command that was due at `due_us`. Returns the time to count its
    /// transit from: a timer's noise is part of the way.
    pub fn given(&mut self, due_us: f64, now_us: f64) -> f64 {
        if self.waited.len() == COMMANDS {
            self.waited.pop_front();
        }
        let waited = now_us - due_us > NOISE_US;
        self.waited.push_back(waited);
        self.share += (f64::from(u8::from(waited)) - self.share) * SHARE_GAIN;
        let (waits, of) = (self.waited.iter().filter(|waited| **waited).count(), self.waited.len());
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
            // Several commands may be given in one frame.
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
