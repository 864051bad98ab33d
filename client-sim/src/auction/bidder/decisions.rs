//! When a bidder decides, and the commands that it submits.

use std::time::Duration;

use rand::RngExt;
use truetick_auction::order::{Admin, Command, CommandId};
use truetick_auction::public_lot::PublicLot;
use truetick_auction::terms::LotId;
use truetick_netcode::client::state::ClientState;
use truetick_netcode::time::Timestamp;

use super::super::strategy::{self, House, HouseProgress, Market, Strategy};
use super::{Bidder, OPEN};

/// Interval at which the bidder requests the catalogue.
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(2);

/// Decisions that are further overdue are not made up for.
const MISSED: Duration = Duration::from_millis(20);

impl Bidder {
    /// Handles what is due by now, decisions included.
    pub fn advance(&mut self, now: Timestamp) {
        if self.client.state() == ClientState::Playing && !self.forgot {
            if now >= self.catalogue_at {
                self.catalogue_at = now + CATALOGUE_INTERVAL;
                self.client.ask_catalogue();
            }
            self.think_at = self.think_at.max(now - MISSED);
            while now >= self.think_at {
                let share = self.rng.random_range(0.5..1.5) / self.pace;
                self.think_at += self.strategy.pause().mul_f64(share);
                self.think(now);
            }
        }
        self.client.advance(now);
    }

    fn think(&mut self, now: Timestamp) {
        if self.still || self.client.unanswered() >= OPEN {
            return;
        }
        let commands = match (self.strategy, self.house) {
            (Strategy::Watcher, _) => return,
            (Strategy::Keeper, Some(house)) if self.client.unanswered() == 0 => self.keep(&house),
            (Strategy::Keeper, _) => return,
            _ => self.bid(now),
        };
        for command in commands {
            self.figures.said += 1;
            let id = CommandId(self.next_id);
            self.next_id += 1;
            self.said.insert(id, (command.clone(), now));
            self.client.command(id, command);
        }
        if self.strategy == Strategy::Forgetful && self.rng.random_bool(0.15) {
            self.forgot = true;
        }
    }

    /// The next commands of a keeper.
    fn keep(&mut self, house: &House) -> Vec<Command> {
        let is_open = |lot: &u32| {
            let known = self.client.lot(LotId(*lot));
            known.map_or(!self.gone.contains(&LotId(*lot)), |lot| {
                lot.ending.is_none()
            })
        };
        let progress = HouseProgress {
            funded: self.funded.len() as u64,
            opened: self.opened,
            open: (0..self.opened).filter(is_open).count(),
        };
        let commands = strategy::keep(house, progress, &mut self.rng);
        let opens = |command: &&Command| matches!(command, Command::Admin(Admin::Open { .. }));
        self.opened += commands.iter().filter(opens).count() as u32;
        commands
    }

    /// The next commands of a bidder.
    fn bid(&mut self, now: Timestamp) -> Vec<Command> {
        let aliases = &self.aliases;
        let leads =
            |lot: &PublicLot| lot.leader.is_some() && aliases.get(&lot.lot).copied() == lot.leader;
        let market = Market {
            client: &self.client,
            lots: &self.lots,
            now,
        };
        strategy::think(self.strategy, market, leads, &mut self.rng)
    }
}
