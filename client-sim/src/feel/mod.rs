//! `truetick-sim feel`: what a player sees and feels while the path, the server or the client
//! misbehaves.
//!
//! The production cores run in virtual time. A display of any rate samples what
//! [`ClientRuntime::view`] would draw, and the figures are computed from those frames alone: how
//! long something stood still, how far it leapt, how long the player's input had no effect. Nothing
//! depends on the speed of the machine; equal seeds give equal figures.
//!
//! ```text
//! case (parameters) -> world (server, client, path, display) -> trace -> figures -> bounds
//!                   -> table, JSON, page
//! ```
//!
//! [`ClientRuntime::view`]: truetick_netcode::client::runtime::ClientRuntime::view

pub mod bounds;
pub mod case;
pub mod catalogue;
pub mod courses;
pub mod figures;
mod game;
pub mod page;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod world;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use truetick_server::files::write_text;

use crate::demo::Outcome;
use crate::profile::Profile;
use crate::tell;
use bounds::{Bound, bounds};
use case::Case;
use catalogue::{NamedCase, catalogue};
use figures::{Figures, figures};
use page::Page;
use trace::Trace;
use world::World;

/// Options of the measurement.
#[derive(Args, Clone, Debug)]
pub struct FeelOptions {
    #[command(flatten)]
    case: Case,
    /// Write the figures of all cases as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write a page that draws motion over time
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// Print a table of all profiles at 60 and 128 Hz, half a minute each
    #[arg(long)]
    profiles: bool,
    /// Run the cases of the catalogue whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// The figures of one case, with their bounds and source.
pub struct Measured {
    /// The figures of the case.
    pub figures: Figures,
    /// Each figure with its bound.
    pub bounds: Vec<Bound>,
    /// The frames and ticks from which the figures were computed.
    pub trace: Trace,
}

/// Runs one case.
pub fn measure(name: &str, case: &Case) -> Measured {
    let trace = World::new(case).run();
    let figures = figures(name, case, &trace);
    Measured {
        bounds: bounds(case, &figures),
        figures,
        trace,
    }
}

/// Runs the command: the case that the parameters describe, or the whole catalogue without
/// parameters. Returns the bounds that were not kept.
///
/// # Errors
/// A parameter is out of its range, or a file cannot be written.
pub fn run(options: &FeelOptions) -> Outcome {
    options.case.validate()?;
    if options.profiles {
        print_profiles();
        return Ok(Vec::new());
    }
    let (mut all, mut over, mut page) = (Vec::new(), Vec::new(), Page::new());
    for NamedCase { name, case } in options.cases() {
        let Measured {
            figures,
            bounds,
            trace,
        } = measure(&name, &case);
        print_case(&figures, &bounds);
        let missed = bounds.iter().filter(|bound| !bound.holds());
        over.extend(missed.map(|bound| {
            format!(
                "{name}: {} {:.1} over {:.1}",
                bound.figure, bound.value, bound.most
            )
        }));
        if options.html.is_some() {
            page.add(&name, &trace, &bounds);
        }
        all.push(figures);
    }
    if let Some(path) = &options.json {
        write_text(
            path,
            &serde_json::to_string_pretty(&json!({ "cases": all }))?,
        )?;
    }
    if let Some(path) = &options.html {
        write_text(path, &page.finish())?;
    }
    Ok(over)
}

impl FeelOptions {
    fn cases(&self) -> Vec<NamedCase> {
        if self.case != Case::default() {
            return vec![NamedCase {
                name: "custom".into(),
                case: self.case.clone(),
            }];
        }
        let wanted = |named: &NamedCase| {
            self.only
                .as_ref()
                .is_none_or(|text| named.name.contains(text.as_str()))
        };
        catalogue().into_iter().filter(wanted).collect()
    }
}

/// Prints what a player sees over each profile, as a table in Markdown.
fn print_profiles() {
    tell!(
        "| profile | Hz | display delay, ms | longest stillness, ms | largest frame | error p99, m | cuts | input dead, ms | margin p50, ms | late, % | wrong, unexplained |"
    );
    tell!("|---|---|---|---|---|---|---|---|---|---|---|");
    for &profile in Profile::value_variants() {
        for tick_rate in [60, 128] {
            let found = measure("", &Case::over(profile, tick_rate)).figures;
            let name = profile
                .to_possible_value()
                .map(|value| value.get_name().to_string());
            tell!(
                "| {} | {tick_rate} | {:.1} | {:.0} | {:.2} | {:.2} | {} | {:.0} | {:.1} | {:.2} | {}, {} |",
                name.unwrap_or_default(),
                found.display_delay_ms,
                found.still_ms,
                found.leap_frames,
                found.shown_error_m_p99,
                found.cuts,
                found.dead_input_ms,
                found.margin_ms_p50,
                found.late_share * 100.0,
                found.mispredicted,
                found.unexplained,
            );
        }
    }
}

fn print_case(figures: &Figures, bounds: &[Bound]) {
    tell!("{}", figures.name);
    for bound in bounds {
        let mark = if bound.holds() { " " } else { "!" };
        tell!(
            "  {mark} {:<20} {:>10.2}  at most {:>9.2} = {}",
            bound.figure,
            bound.value,
            bound.most,
            bound.formula
        );
    }
    tell!(
        "    delay {:.1} ms, key to motion {:.1} ms, margin p50 {:.1} ms, late {:.2} %, cuts {}, wrong {}, leap {:.2} m",
        figures.display_delay_ms,
        figures.key_to_motion_ms,
        figures.margin_ms_p50,
        figures.late_share * 100.0,
        figures.cuts,
        figures.mispredicted,
        figures.leap_m,
    );
}
