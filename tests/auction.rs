//! The auction house, told as stories in virtual time.

use truetick_tests::auction::plan::AuctionPlan;
use truetick_tests::auction::world::AuctionWorld;

fn run(plan: AuctionPlan) -> AuctionWorld {
    let mut world = AuctionWorld::new(plan);
    world.run();
    let (trace, wrong) = (world.trace.join("\n"), world.wrong.iter().take(5).cloned().collect::<Vec<_>>());
    assert!(wrong.is_empty(), "seed {}\n{trace}\n{}", world.plan.seed, wrong.join("\n"));
    world
}

#[test]
fn on_a_quiet_day_everyone_gets_answers_and_all_see_the_same() {
    let mut world = run(AuctionPlan::quiet(1));
    let figures = world.check();
    println!("{figures:?}");
    assert!(figures.answered > 60 && figures.seen > 100 && figures.ended > 3, "{figures:?}");
}

#[test]
fn whatever_goes_wrong_nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    for seed in 1..=1000 {
        let mut world = run(AuctionPlan::standard(seed));
        world.check();
    }
}
