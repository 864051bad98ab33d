//! `cargo simulate`: many seeds of the simulator's standard mix, one seed with its trace, or the
//! minimised plan of one.

mod auction;
mod quic;
mod seeds;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use truetick_server::files::write_text;
use truetick_tests::mark::Mark;
use truetick_tests::plan::Plan;
use truetick_tests::reduction::{Reduction, minimise};
use truetick_tests::run::{Outcome, run};
use truetick_transport::clock;

use seeds::Report;

/// Minimum number of seeds of a run that must hit every mark. A smaller run may miss the rare ones.
const CLAIMS_ALL_FROM: u64 = 1_000;

/// Run Truetick's deterministic simulator: the whole system in one thread from one seed
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Number of seeds to run after the regression seeds
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// First of the seeds to run after the regression seeds; the others follow.
    #[arg(long, value_name = "S", default_value_t = 1, help = "First seed")]
    start: u64,
    /// Number of threads, each with its own seeds; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Write the summary as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Run the auction house on a failing disk instead of the arena
    #[arg(long, conflicts_with_all = ["minimise", "only", "clients", "perfect_links", "true_clocks"])]
    auction: bool,
    /// Run QUIC in virtual time instead of the arena over UDP, each seed twice
    #[arg(long, conflicts_with_all = ["auction", "minimise", "only", "clients", "perfect_links", "true_clocks"])]
    quic: bool,
    /// Run one seed and print its trace
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "start", "json"])]
    seed: Option<u64>,
    /// Find the smallest part of one seed's plan that still fails
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "start", "json", "seed"])]
    minimise: Option<u64>,
    /// With --seed: only these faults of the plan, by number (`none` for none)
    #[arg(long, value_name = "LIST", requires = "seed")]
    only: Option<String>,
    /// With --seed: number of clients
    #[arg(long, value_name = "N", requires = "seed")]
    clients: Option<u16>,
    /// With --seed: paths without impairments of their own
    #[arg(long, requires = "seed")]
    perfect_links: bool,
    /// With --seed: clocks without drift
    #[arg(long, requires = "seed")]
    true_clocks: bool,
}

impl Arguments {
    fn reduction(&self) -> Result<Reduction, String> {
        let number = |text: &str| {
            text.trim()
                .parse()
                .map_err(|_| format!("--only takes numbers like 0,2 or `none`, not `{text}`"))
        };
        let only = match self.only.as_deref() {
            None => None,
            Some("none") => Some(Vec::new()),
            Some(list) => Some(list.split(',').map(number).collect::<Result<_, _>>()?),
        };
        let Self {
            clients,
            perfect_links,
            true_clocks,
            ..
        } = *self;
        Ok(Reduction {
            only,
            clients,
            perfect_links,
            true_clocks,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.seed, arguments.minimise) {
        (Some(seed), _) if arguments.auction => Ok(all_or_nothing(auction::show(seed))),
        (Some(seed), _) if arguments.quic => Ok(all_or_nothing(quic::show(seed))),
        (Some(seed), _) => show(seed, &arguments),
        (_, Some(seed)) => shrink(seed),
        _ => many(&arguments),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::FAILURE
    })
}

fn all_or_nothing(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one seed and prints everything that happens in it.
fn show(seed: u64, arguments: &Arguments) -> Result<ExitCode, String> {
    let (whole, reduction) = (Plan::standard(seed), arguments.reduction()?);
    reduction.check(&whole)?;
    let plan = reduction.of(&whole);
    println!("{plan}\n");
    let trace = |at: truetick_netcode::time::Timestamp, what: &str| {
        println!("{:>9.3} ms  {what}", at.as_micros() as f64 / 1e3);
    };
    let outcome = run(&plan, Some(Box::new(trace)));
    println!(
        "\n{} ticks, world {:016x}, bytes {:016x}",
        outcome.hashes.len(),
        outcome.hashes.last().unwrap_or(&0),
        outcome.sent_hash
    );
    for mark in Mark::ALL
        .iter()
        .filter(|mark| outcome.marks.count(**mark) > 0)
    {
        println!("{:>8} x {mark}", outcome.marks.count(*mark));
    }
    Ok(verdict(&outcome))
}

fn verdict(outcome: &Outcome) -> ExitCode {
    if outcome.wrong.is_empty() {
        println!("All is well.");
        return ExitCode::SUCCESS;
    }
    outcome
        .wrong
        .iter()
        .for_each(|wrong| println!("WRONG {wrong}"));
    ExitCode::FAILURE
}

/// The first violation without its numbers, so that minimisation does not switch to another defect.
fn defect(outcome: &Outcome) -> Option<String> {
    outcome
        .wrong
        .first()
        .map(|wrong| wrong.chars().filter(|c| !c.is_ascii_digit()).collect())
}

/// Finds the smallest failing part of a failing seed.
fn shrink(seed: u64) -> Result<ExitCode, String> {
    let plan = Plan::standard(seed);
    let Some(defect) = defect(&run(&plan, None)) else {
        return Err(format!(
            "seed {seed} does not fail: there is nothing to make smaller"
        ));
    };
    let mut runs = 0;
    let best = minimise(&plan, |plan| {
        runs += 1;
        self::defect(&run(plan, None)).as_ref() == Some(&defect)
    });
    let reduced = best.of(&plan);
    println!(
        "after {runs} runs {} of {} faults are left:\n\n{reduced}\n",
        reduced.faults.len(),
        plan.faults.len()
    );
    println!("rerun: cargo sim --seed {seed}{best}");
    Ok(verdict(&run(&reduced, None)))
}

/// Runs the regression seeds and then those of the arguments.
fn many(arguments: &Arguments) -> Result<ExitCode, String> {
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let started = clock::now();
    let seconds = || clock::now().since(started).as_secs_f64();
    let (summary, json, code) = if arguments.auction {
        let report = auction::run_all(arguments.start, arguments.seeds, threads);
        (
            report.summary(seconds()),
            report.json(),
            all_or_nothing(report.failures.is_empty()),
        )
    } else if arguments.quic {
        let report = quic::run_all(arguments.start, arguments.seeds, threads);
        (
            report.summary(seconds()),
            report.json(),
            all_or_nothing(report.failures.is_empty()),
        )
    } else {
        let report = seeds::run_all(arguments.start, arguments.seeds, threads);
        (report.summary(seconds()), report.json(), exit_code(&report))
    };
    println!("{summary}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&json).map_err(|error| error.to_string())?;
        write_text(path, &text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(code)
}

fn exit_code(report: &Report) -> ExitCode {
    let missed = report.marks.missed(Mark::ALL);
    let claims_all = report.seeds >= CLAIMS_ALL_FROM;
    for mark in &missed {
        println!(
            "{} never happened: {mark}",
            if claims_all {
                "MISSED"
            } else {
                "(too few seeds to claim it)"
            }
        );
    }
    match report.failures.is_empty() {
        true if missed.is_empty() || !claims_all => ExitCode::SUCCESS,
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
}
