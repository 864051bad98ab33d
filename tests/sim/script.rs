//! A game's input without clients: for tests of the world alone.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::session::ClientId;
use truetick_server::core::simulation::TickInput;
use truetick_shared::arena::ArenaCommand;

/// Joins, leaves and wild commands of up to twelve clients for so many ticks.
pub fn script(seed: u64, ticks: usize) -> Vec<TickInput<ArenaCommand>> {
    let mut chances = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut next, mut present) = (1, Vec::<ClientId>::new());
    let mut tick = || {
        let mut input = TickInput::default();
        if present.len() < 12 && chances.random_bool(0.1) {
            input.joins.push(ClientId(next));
            present.push(ClientId(next));
            next += 1;
        }
        if present.len() > 4 && chances.random_bool(0.02) {
            input.leaves.push(present.remove(chances.random_range(0..present.len())));
        }
        input.commands = present
            .iter()
            .map(|client| {
                let thrust = [chances.random_range(-127..=127), chances.random_range(-127..=127)];
                let (dash, fire) = (chances.random_bool(0.05), chances.random_bool(0.5));
                (*client, ArenaCommand { thrust, aim: chances.random_range(0..4_096), dash, fire })
            })
            .collect();
        input
    };
    (0..ticks).map(|_| tick()).collect()
}
