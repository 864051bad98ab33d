//! Many seeds of the auction house on a failing disk.

use serde_json::json;
use truetick_tests::auction::check::AuctionFigures;
use truetick_tests::auction::plan::{AuctionPlan, Trouble};
use truetick_tests::auction::world::AuctionWorld;

use crate::seeds::{SeedResult, each};

/// Sums over all runs.
#[derive(Default)]
pub struct AuctionReport {
    /// Number of seeds run.
    pub seeds: u64,
    /// Seeds that failed, ascending.
    pub failures: Vec<u64>,
    answered: u64,
    seen: u64,
    openings: u64,
    torn: u64,
    lost: u64,
    troubles: [u64; 6],
}

impl AuctionReport {
    /// Returns the final line of text.
    pub fn summary(&self, seconds: f64) -> String {
        let Self {
            seeds,
            failures,
            answered,
            seen,
            openings,
            torn,
            lost,
            ..
        } = self;
        format!(
            "{seeds} seeds in {seconds:.1} s: {} failed; {answered} answers and {seen} events held against the journals, \
             {openings} starts, {torn} sectors torn, {lost} lost",
            failures.len()
        )
    }

    /// Returns the summary as JSON.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "seeds": self.seeds,
            "failures": self.failures.len(),
            "failed_seeds": self.failures,
            "answers": self.answered,
            "events_seen": self.seen,
            "starts": self.openings,
            "sectors_torn": self.torn,
            "sectors_lost": self.lost,
            "troubles": Trouble::ALL.iter().zip(self.troubles).map(|(trouble, count)| (format!("{trouble:?}"), count.into())).collect::<serde_json::Map<_, _>>(),
        })
    }

    fn add(&mut self, result: SeedResult<AuctionFigures>) {
        let SeedResult {
            seed,
            figures,
            wrong,
        } = result;
        self.seeds += 1;
        self.answered += figures.answered;
        self.seen += figures.seen;
        self.openings += u64::from(figures.openings);
        self.torn += figures.damage.0;
        self.lost += figures.damage.1;
        for (_, trouble) in AuctionPlan::standard(seed).troubles {
            self.troubles[trouble as usize] += 1;
        }
        if !wrong.is_empty() {
            println!(
                "FAILED seed {seed}: {}",
                wrong.first().map_or("", String::as_str)
            );
            println!("  rerun: cargo sim --auction --seed {seed}");
            self.failures.push(seed);
        }
    }
}

/// Runs one seed and prints its trace. Returns whether it passed.
pub fn show(seed: u64) -> bool {
    let mut world = AuctionWorld::new(AuctionPlan::standard(seed));
    println!("{:#?}\n", world.plan);
    let figures = world.run();
    println!("{}\n{figures:?}", world.trace.join("\n"));
    world
        .wrong
        .iter()
        .for_each(|wrong| println!("WRONG {wrong}"));
    world.wrong.is_empty()
}

/// Runs `count` seeds from `start` on `threads` threads.
pub fn run_all(start: u64, count: u64, threads: usize) -> AuctionReport {
    let seeds: Vec<u64> = (start..start.saturating_add(count)).collect();
    let mut report = AuctionReport::default();
    let one = |seed| {
        let mut world = AuctionWorld::new(AuctionPlan::standard(seed));
        let figures = world.run();
        SeedResult {
            seed,
            figures,
            wrong: world.wrong,
        }
    };
    each(&seeds, threads, one, |results| {
        results.iter().for_each(|result| report.add(result))
    });
    report.failures.sort_unstable();
    report
}
