//! The auction house, told as stories in virtual time.

use truetick_tests::auction::plan::AuctionPlan;
use truetick_tests::auction::world::AuctionWorld;

fn run(plan: AuctionPlan) -> AuctionWorld {
    let mut world = AuctionWorld::new(plan);
    world.run();
    assert!(world.wrong.is_empty(), "{}\n{}", world.trace.join("\n"), world.wrong.join("\n"));
    world
}

#[test]
fn on_a_quiet_day_everyone_gets_answers_and_all_see_the_same() {
    let mut world = run(AuctionPlan::quiet(1));
    let figures = world.check();
    println!("{figures:?}");
    assert!(figures.answered > 100 && figures.seen > 100 && figures.ended > 3, "{figures:?}");
}
