//! Many seeds of QUIC in virtual time, each run twice: both runs must be equal.

use serde_json::json;
use truetick_tests::quic::plan::QuicPlan;
use truetick_tests::quic::world::{QuicFigures, QuicWorld};

use crate::seeds::{SeedResult, each};

/// Sums over all runs.
#[derive(Default)]
pub struct QuicReport {
    /// Number of seeds run.
    pub seeds: u64,
    /// Seeds that failed, ascending.
    pub failures: Vec<u64>,
    resumes: u64,
    rejoins: u64,
    messages: u64,
    datagrams: u64,
}

impl QuicReport {
    /// Returns the final line of text.
    pub fn summary(&self, seconds: f64) -> String {
        let Self {
            seeds,
            failures,
            resumes,
            rejoins,
            messages,
            datagrams,
        } = self;
        format!(
            "{seeds} seeds in {seconds:.1} s, each twice: {} failed; {datagrams} datagrams, {messages} messages, \
             {resumes} sessions resumed, {rejoins} joined again",
            failures.len()
        )
    }

    /// Returns the summary as JSON.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "seeds": self.seeds,
            "failures": self.failures.len(),
            "failed_seeds": self.failures,
            "datagrams": self.datagrams,
            "messages": self.messages,
            "resumes": self.resumes,
            "rejoins": self.rejoins,
        })
    }

    fn add(&mut self, result: SeedResult<QuicFigures>) {
        let SeedResult {
            seed,
            figures,
            wrong,
        } = result;
        self.seeds += 1;
        self.resumes += figures.resumes;
        self.rejoins += figures.rejoins;
        self.messages += figures.messages;
        self.datagrams += figures.datagrams;
        if let Some(first) = wrong.first() {
            println!("FAILED seed {seed}: {first}");
            println!("  rerun: cargo sim --quic --seed {seed}");
            self.failures.push(seed);
        }
    }
}

/// Runs one seed and prints the result. Returns whether it passed.
pub fn show(seed: u64) -> bool {
    println!("{:#?}\n", QuicPlan::standard(seed));
    let SeedResult { figures, wrong, .. } = twice(seed);
    println!("{figures:?}");
    wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
    wrong.is_empty()
}

fn twice(seed: u64) -> SeedResult<QuicFigures> {
    let mut world = QuicWorld::new(QuicPlan::standard(seed));
    let figures = world.run();
    let again = QuicWorld::new(QuicPlan::standard(seed)).run();
    if again != figures {
        world
            .wrong
            .push(format!("not the same again: {figures:?} {again:?}"));
    }
    SeedResult {
        seed,
        figures,
        wrong: world.wrong,
    }
}

/// Runs `count` seeds from `start` on `threads` threads.
pub fn run_all(start: u64, count: u64, threads: usize) -> QuicReport {
    let seeds: Vec<u64> = (start..start.saturating_add(count)).collect();
    let mut report = QuicReport::default();
    each(&seeds, threads, twice, |results| {
        results.iter().for_each(|result| report.add(result))
    });
    report.failures.sort_unstable();
    report
}
