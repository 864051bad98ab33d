//! Compares two builds of a benchmark program: runs them in alternating pairs and reports the
//! ratios of their figures.
//!
//! ```text
//! pairs --before OLD/replication --after target/release/replication \
//!     --keys server_cpu_ms_per_tick -- --clients 256
//! ```
//!
//! Both programs get the arguments after `--` and `--json PATH`. A key may be a path into nested
//! objects (`loopback.cpu_ms_per_tick`). Each pair runs both programs one right after the other, in
//! alternating order, so that a slow drift of the machine's speed cancels out. For each key the
//! report has the ratio after / before of every pair, their median, and a distribution-free
//! interval of the median: from the second smallest to the second largest ratio, which holds the
//! true median with a probability of 97.9 % at ten pairs (99.7 % at 14, 93 % at 8).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use serde_json::{Value, json};
use tempfile::tempdir;
use truetick_benches::report::give;
use truetick_server::files::read_text;

/// Run two builds of a benchmark program in alternating pairs
#[derive(Parser)]
struct Arguments {
    /// Program before the change
    #[arg(long)]
    before: PathBuf,
    /// Program after the change
    #[arg(long)]
    after: PathBuf,
    /// Number of pairs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(3..=100))]
    pairs: u32,
    /// Figures to compare, separated by commas; a dot leads into a nested object
    #[arg(long, value_delimiter = ',', required = true)]
    keys: Vec<String>,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Arguments for both programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let folder = tempdir()?;
    let reports = run_pairs(&arguments, folder.path())?;
    let mut report = serde_json::Map::new();
    for key in &arguments.keys {
        report.insert(key.clone(), compare(&reports, key)?);
    }
    give(&Value::Object(report), arguments.json.as_deref())
}

/// The reports of both programs of one pair.
struct Pair {
    before: Value,
    after: Value,
}

fn run_pairs(arguments: &Arguments, folder: &Path) -> Result<Vec<Pair>, Box<dyn Error>> {
    let run = |program: &Path| run(program, &arguments.arguments, &folder.join("report.json"));
    let mut pairs = Vec::new();
    for pair in 0..arguments.pairs {
        pairs.push(if pair % 2 == 0 {
            let before = run(&arguments.before)?;
            Pair {
                before,
                after: run(&arguments.after)?,
            }
        } else {
            let after = run(&arguments.after)?;
            Pair {
                before: run(&arguments.before)?,
                after,
            }
        });
        eprintln!("pair {} of {} done", pair + 1, arguments.pairs);
    }
    Ok(pairs)
}

fn run(program: &Path, arguments: &[String], json: &Path) -> Result<Value, Box<dyn Error>> {
    let status = Command::new(program)
        .args(arguments)
        .arg("--json")
        .arg(json)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{} failed: {status}", program.display()).into());
    }
    Ok(serde_json::from_str(&read_text(json)?)?)
}

/// Returns the number under a dotted key.
fn figure(report: &Value, key: &str) -> Option<f64> {
    key.split('.')
        .try_fold(report, |value, part| value.get(part))?
        .as_f64()
}

fn compare(pairs: &[Pair], key: &str) -> Result<Value, Box<dyn Error>> {
    let missing = || format!("no figure {key} in a report");
    let (mut before, mut after, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in pairs {
        let old = figure(&pair.before, key).ok_or_else(missing)?;
        let new = figure(&pair.after, key).ok_or_else(missing)?;
        before.push(old);
        after.push(new);
        ratios.push(new / old);
    }
    let sort = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    let sorted = sort(ratios.clone());
    Ok(json!({
        "before_median": median(&sort(before)),
        "after_median": median(&sort(after)),
        "ratio_median": median(&sorted),
        "ratio_interval": [sorted[1], sorted[sorted.len() - 2]],
        "ratios": ratios,
    }))
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}
