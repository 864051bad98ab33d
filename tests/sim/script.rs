//! Input of a game without clients, for tests of the world alone.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_arena::ArenaCommand;
use truetick_netcode::session::ClientId;
use truetick_server::simulation::TickInput;

/// Returns joins, leaves and random commands of up to twelve clients for `ticks` ticks.
pub fn script(seed: u64, ticks: usize) -> Vec<TickInput<ArenaCommand>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut next, mut present) = (1, Vec::<ClientId>::new());
    let mut tick = || {
        let mut input = TickInput::default();
        if present.len() < 12 && rng.random_bool(0.1) {
            input.joins.push(ClientId(next));
            present.push(ClientId(next));
            next += 1;
        }
        if present.len() > 4 && rng.random_bool(0.02) {
            input
                .leaves
                .push(present.remove(rng.random_range(0..present.len())));
        }
        input.commands = present
            .iter()
            .map(|client| {
                let thrust = [rng.random_range(-127..=127), rng.random_range(-127..=127)];
                let (dash, fire) = (rng.random_bool(0.05), rng.random_bool(0.5));
                (
                    *client,
                    ArenaCommand {
                        thrust,
                        aim: rng.random_range(0..4_096),
                        dash,
                        fire,
                    },
                )
            })
            .collect();
        input
    };
    (0..ticks).map(|_| tick()).collect()
}
