//! The bots of a run with their relay, and the loop that shows their figures each second.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use truetick_arena::arena_schema;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::time::Timestamp;
use truetick_server::files::write_text;
use truetick_server::host::random_key;
use truetick_transport::clock;

use super::Common;
use crate::connect_options::ConnectOptions;
use crate::measure::ClientFigures;
use crate::profile::Profile;
use crate::relay_thread::RelayThread;
use crate::report::Report;
use crate::swarm::{Crew, Swarm, SwarmConfig};
use crate::token_source::TokenSource;

/// Bots, and the relay between them and the server if there is one.
pub(crate) struct Players {
    pub(crate) swarm: Swarm,
    relay: Option<RelayThread>,
}

impl Players {
    pub(crate) fn start(
        issuer: Issuer,
        crew: Crew,
        connect_options: ConnectOptions,
        profile: Profile,
        common: &Common,
    ) -> Result<Self, Box<dyn Error>> {
        let kinds = Arc::new(arena_schema()?);
        let server = issuer.servers[0];
        let relay = profile
            .link()
            .map(|link| RelayThread::start(server, link, common.seed))
            .transpose()?;
        let to = relay.as_ref().map(RelayThread::address);
        let (trace, capture) = (common.trace.clone(), common.capture.clone());
        let secret = *random_key()?.bytes();
        let first_user = secret
            .iter()
            .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        let config = SwarmConfig {
            connect_options,
            relay: to,
            crew,
            seed: common.seed,
            first_user,
            trace,
            capture,
        };
        let tokens = TokenSource::new(issuer, *random_key()?.bytes());
        let swarm = Swarm::start(&config, tokens, &kinds)?;
        Ok(Self { swarm, relay })
    }

    pub(crate) fn stop(self) -> std::io::Result<ClientFigures> {
        let figures = self.swarm.stop()?;
        if let Some(relay) = self.relay {
            // Disconnect notices are still in flight.
            clock::sleep(Duration::from_millis(300));
            relay.stop()?;
        }
        Ok(figures)
    }
}

/// Calls `show` each second until the time is up, a signal arrives or `show` returns false.
pub(crate) async fn watch(
    common: &Common,
    started: Timestamp,
    mut show: impl FnMut(f64) -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.tick().await;
    let mut left = common.seconds;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = every.tick() => {}
        }
        let goes_on = show(clock::now().since(started).as_secs_f64())?;
        left = left.saturating_sub(1);
        if !goes_on || (common.seconds > 0 && left == 0) {
            return Ok(());
        }
    }
}

/// Writes the report as JSON if a path is given.
pub(super) fn save(common: &Common, report: &Report) -> Result<(), Box<dyn Error>> {
    if let Some(path) = &common.json {
        write_text(path, &serde_json::to_string_pretty(report)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}
