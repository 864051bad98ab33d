//! Checks the values of a configuration, each against its range.

use truetick_netcode::limits::SNAPSHOT_BYTES;
use truetick_netcode::session::token::TOKEN_SERVERS;

use super::{ConfigError, ServerConfig};
use crate::auction::settings::AuctionSettings;
use crate::quic_settings::QuicSettings;

impl ServerConfig {
    /// Checks the range of every value. `origin` names the source of the values in errors.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first value that is out of range.
    pub fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let origin = Origin(origin);
        self.check_room(&origin)?;
        self.check_sessions(&origin)?;
        self.check_parts(&origin)?;
        self.check_page(&origin)?;
        origin.whole(
            "drain_limit_s (with drain_within_s)",
            self.drain_limit_s,
            self.drain_within_s,
            86_400,
        )
    }

    /// Checks the arena, its room and the recording.
    fn check_room(&self, origin: &Origin<'_>) -> Result<(), ConfigError> {
        let whole = |key, value, low, high| origin.whole(key, value, low, high);
        let most = self.snapshot_bytes as u64;
        whole("tick_rate", self.tick_rate.into(), 10, 128)?;
        whole("max_clients", self.max_clients as u64, 1, 4_096)?;
        whole("max_spectators", self.max_spectators as u64, 0, 4_096)?;
        whole("snapshot_bytes", most, 300, SNAPSHOT_BYTES as u64)?;
        let floor = self.snapshot_floor_bytes as u64;
        whole("snapshot_floor_bytes", floor.min(most), 100, most)?;
        whole("shortest_repeat_ms", self.shortest_repeat_ms, 0, 10_000)?;
        whole("longest_repeat_ms", self.longest_repeat_ms, 0, 10_000)?;
        whole("drones", self.drones.into(), 0, 4_096)?;
        whole("record_segment_mb", self.record_segment_mb as u64, 1, 1_024)?;
        whole("record_segments", self.record_segments as u64, 1, 1_000)?;
        whole("pickups", self.pickups.into(), 0, 1_024)?;
        let radius_m = self.relevance_radius_m;
        if (0.0..=1_000.0).contains(&radius_m) {
            Ok(())
        } else {
            let allowed = "from 0 (no limit) to 1000 metres".to_string();
            Err(origin.refuse("relevance_radius_m", radius_m.to_string(), allowed))
        }
    }

    /// Checks addresses, sessions, tokens and the drain.
    fn check_sessions(&self, origin: &Origin<'_>) -> Result<(), ConfigError> {
        let whole = |key, value, low, high| origin.whole(key, value, low, high);
        let addresses = self.public.len() as u64;
        whole("public (addresses)", addresses, 0, TOKEN_SERVERS as u64)?;
        whole("sessions_per_user", self.sessions_per_user as u64, 1, 64)?;
        let per_address = self.sessions_per_address as u64;
        whole("sessions_per_address", per_address, 1, 4_096)?;
        let joins = self.joins_per_address_s.into();
        whole("joins_per_address_s", joins, 1, 10_000)?;
        whole("grace_s", self.grace_s, 0, 3_600)?;
        whole("token_lifetime_s", self.token_lifetime_s, 1, 3_600)?;
        whole("timeout_s", self.timeout_s, 1, 600)?;
        whole("drain_within_s", self.drain_within_s, 0, 3_600)?;
        whole("drain_limit_s", self.drain_limit_s, 0, 86_400)
    }

    /// Checks the auction house and QUIC, as far as they are configured.
    fn check_parts(&self, origin: &Origin<'_>) -> Result<(), ConfigError> {
        let auction = self.auction.as_ref();
        let quic = self.quic.as_ref();
        let invalid = auction
            .and_then(AuctionSettings::invalid_setting)
            .or_else(|| quic.and_then(QuicSettings::invalid_setting));
        invalid.map_or(Ok(()), |(key, value, allowed)| {
            Err(origin.refuse(key, value, allowed))
        })
    }

    /// Checks that the page is on loopback, and that browsers accept the certificate of QUIC by its
    /// fingerprint.
    fn check_page(&self, origin: &Origin<'_>) -> Result<(), ConfigError> {
        let is_self_signed = self
            .quic
            .as_ref()
            .is_some_and(|quic| quic.certificate.is_none());
        match self.page {
            Some(page) if !page.ip().is_loopback() || !is_self_signed => {
                let allowed = "on loopback, as 127.0.0.1:8080, beside QUIC with a certificate that the server makes";
                Err(origin.refuse("page", page.to_string(), allowed.into()))
            }
            _ => Ok(()),
        }
    }
}

/// Where the values of a configuration come from: the path of a file, or the command line.
struct Origin<'a>(&'a str);

impl Origin<'_> {
    fn refuse(&self, key: &'static str, value: String, allowed: String) -> ConfigError {
        ConfigError::OutOfRange {
            origin: self.0.into(),
            key,
            value,
            allowed,
        }
    }

    /// Checks that a whole number is in the range from `low` to `high`, both included.
    fn whole(&self, key: &'static str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            let allowed = format!("from {low} to {high}");
            Err(self.refuse(key, value.to_string(), allowed))
        }
    }
}
