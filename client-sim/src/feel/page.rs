//! A page that draws motion over time: one chart for each case, without external resources.

use std::fmt::Write;

use super::bounds::Bound;
use super::case::WARM_UP_S;
use super::courses::{SPEED, Style};
use super::trace::Trace;

/// Width of a chart, in pixels.
const WIDTH: f64 = 900.0;
/// Height of a chart, in pixels.
const HEIGHT: f64 = 120.0;

/// Relative motion at the top of a chart; 1 is even motion.
const TOP: f64 = 5.0;

/// A page of charts.
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// A page without charts.
    pub fn new() -> Self {
        let text = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Motion over time</title>\n<style>\
            body{font:14px system-ui,sans-serif;margin:2em;max-width:60em;color:#222;background:#fff}\
            h2{font-size:1em;margin:1.5em 0 .3em}svg{background:#f6f7f9;display:block}\
            .kind{color:#b3261e;font-weight:600}.bounds{color:#555;font-size:12px}</style>\n\
            <h1>Motion over time</h1><p>Motion in each frame, in frames' worth of the entity's speed. 1 is even, 0 is at rest. \
            Blue: an entity that moves straight on. Orange: the own entity.</p>\n";
        Self { text: text.into() }
    }

    /// Adds the chart of a case.
    pub fn add(&mut self, name: &str, trace: &Trace, bounds: &[Bound]) {
        let (movers, player) = (mover_motion(trace), player_motion(trace));
        let end = movers
            .iter()
            .chain(&player)
            .map(|point| point.seconds)
            .fold(1.0, f64::max);
        let _ = writeln!(self.text, "<h2>{}</h2>", escape(name));
        let _ = write!(
            self.text,
            "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">"
        );
        for level in [0.0, 1.0, 2.0, 4.0] {
            let y = height(level);
            let _ = write!(
                self.text,
                "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"2\" y=\"{:.1}\" font-size=\"10\" fill=\"#888\">{level}</text>",
                y - 2.0
            );
        }
        self.line(&player, end, "#e8912d");
        self.line(&movers, end, "#2a62c9");
        self.text.push_str("</svg><p class=\"bounds\">");
        for bound in bounds {
            let class = if bound.holds() { "" } else { " class=\"over\"" };
            let _ = write!(
                self.text,
                "<span{class}>{} {:.2} of {:.2} ({})</span>; ",
                bound.figure,
                bound.value,
                bound.most,
                escape(&bound.formula)
            );
        }
        self.text.push_str("</p>\n");
    }

    fn line(&mut self, points: &[Point], end: f64, colour: &str) {
        let _ = write!(
            self.text,
            "<polyline fill=\"none\" stroke=\"{colour}\" points=\""
        );
        for point in points {
            let _ = write!(
                self.text,
                "{:.1},{:.1} ",
                point.seconds / end * WIDTH,
                height(point.worth)
            );
        }
        self.text.push_str("\"/>");
    }

    /// Completes the page and returns its text.
    pub fn finish(mut self) -> String {
        self.text.push_str("</html>\n");
        self.text
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

/// Relative motion in one frame.
struct Point {
    seconds: f64,
    worth: f64,
}

fn height(worth: f64) -> f64 {
    HEIGHT - 4.0 - worth.min(TOP) / TOP * (HEIGHT - 8.0)
}

fn mover_motion(trace: &Trace) -> Vec<Point> {
    motion(trace, |frame| {
        let straight = frame
            .movers
            .iter()
            .find(|drawn| Style::of(drawn.index) == Style::Straight);
        straight.map(|drawn| drawn.position)
    })
}

fn player_motion(trace: &Trace) -> Vec<Point> {
    motion(trace, |frame| frame.player)
}

fn motion(
    trace: &Trace,
    place: impl Fn(&super::trace::Frame) -> Option<glam::DVec2>,
) -> Vec<Point> {
    let start = trace
        .frames
        .first()
        .map(|frame| frame.at)
        .unwrap_or_default();
    let placed = trace
        .frames
        .iter()
        .filter_map(|frame| Some((frame.at.micros_from(start) as f64 / 1e6, place(frame)?)));
    let placed: Vec<_> = placed
        .filter(|(seconds, _)| *seconds >= WARM_UP_S)
        .collect();
    let point = |pair: &[(f64, glam::DVec2)]| {
        let passed = pair[1].0 - pair[0].0;
        Point {
            seconds: pair[1].0,
            worth: (pair[1].1 - pair[0].1).length() / (SPEED * passed),
        }
    };
    placed.windows(2).map(point).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
