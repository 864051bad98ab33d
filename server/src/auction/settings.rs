//! The `[auction]` part of the configuration, and the opening of a house.

use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;
use truetick_auction::house::HouseRules;
use truetick_auction::limits::{ADMINS, RECEIPT_BYTES};
use truetick_auction::money::Currency;
use truetick_netcode::session::UserId;
use truetick_netcode::session::rate::Rate;
use truetick_netcode::time::Timestamp;

use super::entry::{Entry, HouseReplica};
use super::room::{AuctionConfig, AuctionRoom};
use crate::files::folder::FolderDisk;
use crate::journal::JournalConfig;
use crate::journal::committer::{Committer, EntryCodec};
use crate::journal::error::JournalError;
use crate::journal::open::open;
use crate::room::RoomConfig;

/// Settings of an auction house. Every key is optional.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuctionSettings {
    /// Folder of the journal, created if it does not exist; `auction` by default.
    pub data: PathBuf,
    /// User ids of the administrators, at most 64. Only used when the house is founded.
    pub admins: Vec<u64>,
    /// Currency of the house as three capital letters (ISO 4217); EUR by default. Only used when
    /// the house is founded.
    pub currency: String,
    /// Seconds after a lot's close for which receipts are kept, 60 to 31,536,000; a day by default.
    /// Only used when the house is founded.
    pub retention_s: u64,
    /// Commands per second and client, 1 to 1,000,000; 50 by default. A bid on a lot with N
    /// watchers counts as 1 + N / 250.
    pub commands_per_s: u32,
    /// Burst of commands of one client, 1 to 1,000,000; 200 by default.
    pub burst: u32,
    /// Maximum number of clients, 1 to 4,096; 1,024 by default.
    pub max_clients: usize,
    /// Approximate megabytes of memory for the receipts of all users, 1 to 65,536; 1,024 by
    /// default. Beyond it bids are refused until some receipts are forgotten.
    pub receipts_mb: u64,
    /// Megabytes of a segment of the journal, 1 to 1,024; 16 by default.
    pub segment_mb: usize,
    /// Number of segments that are kept although a snapshot covers them; 64 by default.
    pub keep_segments: u64,
}

impl Default for AuctionSettings {
    fn default() -> Self {
        Self {
            data: "auction".into(),
            admins: Vec::new(),
            currency: Currency::EUR.to_string(),
            retention_s: 24 * 3_600,
            commands_per_s: 50,
            burst: 200,
            max_clients: 1_024,
            receipts_mb: 1_024,
            segment_mb: 16,
            keep_segments: 64,
        }
    }
}

/// Why an auction house could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("cannot use the folder {}: {_1}", _0.display())]
    Folder(PathBuf, std::io::Error),
    /// The journal is damaged or cannot be written.
    #[error("cannot open the auction in {}: {_1}", _0.display())]
    Journal(PathBuf, JournalError),
    /// The house was founded with another tick rate: the folder, the house's rate and the
    /// configured rate.
    #[error("the auction in {} runs at {_1} ticks a second, not {_2}: set tick_rate", _0.display())]
    Rate(PathBuf, u32, u32),
    /// A thread of the journal could not be started.
    #[error("cannot start the journal's thread: {0}")]
    Thread(std::io::Error),
}

impl AuctionSettings {
    /// The first setting that is not valid: its key, its value, and the allowed values.
    pub(crate) fn invalid_setting(&self) -> Option<(&'static str, String, String)> {
        let whole = |key, value: u64, low: u64, high: u64| {
            let fits = (low..=high).contains(&value);
            (!fits).then(|| (key, value.to_string(), format!("from {low} to {high}")))
        };
        let letters = self.currency.len() == 3
            && self
                .currency
                .bytes()
                .all(|letter| letter.is_ascii_uppercase());
        let currency = (!letters).then(|| {
            (
                "auction.currency",
                self.currency.clone(),
                "three capital letters".into(),
            )
        });
        currency
            .or(whole(
                "auction.admins (users)",
                self.admins.len() as u64,
                0,
                ADMINS as u64,
            ))
            .or(whole(
                "auction.retention_s",
                self.retention_s,
                60,
                31_536_000,
            ))
            .or(whole(
                "auction.commands_per_s",
                self.commands_per_s.into(),
                1,
                1_000_000,
            ))
            .or(whole("auction.burst", self.burst.into(), 1, 1_000_000))
            .or(whole(
                "auction.max_clients",
                self.max_clients as u64,
                1,
                4_096,
            ))
            .or(whole("auction.receipts_mb", self.receipts_mb, 1, 65_536))
            .or(whole(
                "auction.segment_mb",
                self.segment_mb as u64,
                1,
                1_024,
            ))
    }

    fn rules(&self, tick_rate: u32) -> HouseRules {
        let currency = self
            .currency
            .as_bytes()
            .first_chunk()
            .map_or(Currency::EUR, |code| Currency(*code));
        let admins = self.admins.iter().copied().map(UserId).collect();
        HouseRules {
            currency,
            admins,
            retention: self.retention_s * u64::from(tick_rate),
        }
    }

    /// Opens the house or founds it: reads its journal and continues. `number` is the number of a
    /// new journal and must be unique among journals.
    ///
    /// # Errors
    /// If the folder or the journal cannot be used, or the house has another tick rate.
    pub fn open(
        &self,
        tick_rate: u32,
        number: u64,
        now: Timestamp,
    ) -> Result<AuctionRoom, OpenError> {
        let (config, replica, committer) = self.prepare(tick_rate, number)?;
        Ok(AuctionRoom::open(config, replica, Box::new(committer), now))
    }

    /// Reads the journal and prepares what [`AuctionRoom::open`] takes: the room's settings, the
    /// house and the running log. `number` is the number of a new journal and must be unique among
    /// journals.
    ///
    /// # Errors
    /// If the folder or the journal cannot be used, or the house has another tick rate.
    pub fn prepare(
        &self,
        tick_rate: u32,
        number: u64,
    ) -> Result<(AuctionConfig, HouseReplica, Committer<Entry>), OpenError> {
        let folder = |error| OpenError::Folder(self.data.clone(), error);
        let disk = FolderDisk::open(&self.data).map_err(folder)?;
        let mut replica = HouseReplica::default();
        let config = JournalConfig {
            segment_bytes: self.segment_mb << 20,
            keep: self.keep_segments,
        };
        let journal = open(disk.share(), config, number, &mut replica)
            .map_err(|error| OpenError::Journal(self.data.clone(), error))?;
        if let Some(rate) = replica.tick_rate().filter(|rate| *rate != tick_rate) {
            return Err(OpenError::Rate(self.data.clone(), rate, tick_rate));
        }
        let (entry, tick) = (
            journal.durable(),
            replica.house().map_or(0, |house| house.tick()),
        );
        tracing::info!(data = %self.data.display(), entry, tick, "the auction's journal is read");
        let kind = EntryCodec {
            encode: Entry::bytes,
            fresh: HouseReplica::fresh,
        };
        let committer = Committer::start(journal, disk, kind).map_err(OpenError::Thread)?;
        let room = RoomConfig {
            tick_rate,
            max_clients: self.max_clients,
            ..RoomConfig::default()
        };
        let rate = Rate {
            per_second: self.commands_per_s,
            burst: self.burst,
        };
        let receipts = (self.receipts_mb << 20) / RECEIPT_BYTES;
        let config = AuctionConfig {
            room,
            rules: self.rules(tick_rate),
            rate,
            receipts,
        };
        Ok((config, replica, committer))
    }
}
