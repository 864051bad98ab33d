//! Many seeds on a few threads. Each run is single-threaded and independent of the others.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use truetick_tests::mark::{Mark, Marks};
use truetick_tests::plan::Plan;
use truetick_tests::run::{Outcome, run};
use truetick_transport::clock;

const REGRESSIONS: &str = include_str!("../regression_seeds.txt");

/// Sums over all runs.
#[derive(Default)]
pub struct Report {
    /// Number of seeds run, regression seeds included.
    pub seeds: u64,
    /// Seeds that failed, ascending.
    pub failures: Vec<u64>,
    /// Sum of the marks of all runs.
    pub marks: Marks,
    client_time: Duration,
    cpu: Duration,
}

impl Report {
    /// Simulated client-hours per hour of one core.
    fn rate(&self) -> f64 {
        self.client_time.as_secs_f64() / self.cpu.as_secs_f64().max(1e-9)
    }

    /// Returns the final line of text.
    pub fn summary(&self, seconds: f64) -> String {
        format!(
            "{} seeds in {seconds:.1} s: {} failed; {:.1} simulated client-hours, {:.0} per core-hour",
            self.seeds,
            self.failures.len(),
            self.client_time.as_secs_f64() / 3_600.0,
            self.rate()
        )
    }

    /// Returns the summary as JSON.
    pub fn json(&self) -> serde_json::Value {
        let missed: Vec<String> = self
            .marks
            .missed(Mark::ALL)
            .iter()
            .map(|mark| format!("{mark:?}"))
            .collect();
        let counts: serde_json::Map<_, _> = Mark::ALL
            .iter()
            .map(|mark| (format!("{mark:?}"), self.marks.count(*mark).into()))
            .collect();
        json!({
            "seeds": self.seeds,
            "failures": self.failures.len(),
            "failed_seeds": self.failures,
            "client_hours": self.client_time.as_secs_f64() / 3_600.0,
            "client_hours_per_core_hour": self.rate(),
            "marks_missed": missed,
            "marks": counts,
        })
    }

    fn add(&mut self, seed: u64, outcome: &Outcome, cpu: Duration) {
        self.seeds += 1;
        self.client_time += outcome.client_time;
        self.cpu += cpu;
        self.marks.merge(&outcome.marks);
        if !outcome.wrong.is_empty() {
            self.failures.push(seed);
        }
    }
}

fn regressions() -> impl Iterator<Item = u64> {
    REGRESSIONS
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok())
}

/// Runs the regression seeds and `count` seeds from `start`. Failures are printed as they occur.
pub fn run_all(start: u64, count: u64, threads: usize) -> Report {
    let seeds: Vec<u64> = regressions()
        .chain(start..start.saturating_add(count))
        .collect();
    let mut report = Report::default();
    let one = |seed| {
        let before = clock::thread_cpu();
        let outcome = run(&Plan::standard(seed), None);
        SeedRun {
            seed,
            outcome,
            cpu: clock::thread_cpu() - before,
        }
    };
    each(&seeds, threads, one, |results| {
        follow(results, seeds.len(), &mut report)
    });
    report.failures.sort_unstable();
    report
}

/// The result of one seed.
pub struct SeedResult<F> {
    /// The seed that was run.
    pub seed: u64,
    /// Figures of the run.
    pub figures: F,
    /// Violations as text.
    pub wrong: Vec<String>,
}

/// Runs each seed on up to `threads` threads. `follow` receives the results in the order of
/// completion.
pub fn each<T: Send>(
    seeds: &[u64],
    threads: usize,
    run: impl Fn(u64) -> T + Sync,
    follow: impl FnOnce(&mpsc::Receiver<T>),
) {
    let (next, (send, receive)) = (AtomicUsize::new(0), mpsc::channel());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (send, next, run) = (send.clone(), &next, &run);
            scope.spawn(move || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if send.send(run(*seed)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        follow(&receive);
    });
}

/// A run of the standard mix.
struct SeedRun {
    seed: u64,
    outcome: Outcome,
    /// CPU time of the thread that ran the seed.
    cpu: Duration,
}

fn follow(results: &mpsc::Receiver<SeedRun>, total: usize, report: &mut Report) {
    let (live, mut told_at) = (std::io::stdout().is_terminal(), clock::now());
    for SeedRun { seed, outcome, cpu } in results {
        report.add(seed, &outcome, cpu);
        if !outcome.wrong.is_empty() {
            println!(
                "{}FAILED seed {seed}: {}",
                if live { "\r\x1b[K" } else { "" },
                outcome.wrong.join("; ")
            );
            println!("  rerun: cargo sim --seed {seed}    smaller: cargo sim --minimise {seed}");
        }
        let pause = Duration::from_secs(if live { 1 } else { 10 });
        if clock::now().since(told_at) >= pause {
            told_at = clock::now();
            let line = format!(
                "{} of {total} seeds, {} failed, {:.0} client-hours per core-hour",
                report.seeds,
                report.failures.len(),
                report.rate()
            );
            if live {
                print!("\r\x1b[K{line}");
            } else {
                println!("{line}");
            }
            // A closed terminal must not stop the run.
            let _ = std::io::stdout().flush();
        }
    }
    if live {
        print!("\r\x1b[K");
    }
}
