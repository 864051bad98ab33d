//! By which transports a server is reached: opens the ends that are configured, and knows what clients must know of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tracing::{info, warn};
use truetick_netcode::clock;
use truetick_netcode::session::config::Servers;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::transport::Over;
use truetick_netcode::transport::carrier::Carrier;
use truetick_netcode::transport::quic::certificate::Fingerprint;

use crate::carriers::Carriers;
use crate::config::ServerConfig;
use crate::host::StartError;

/// By which transports a server is reached.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Makers of tokens for each.
    pub issuers: BTreeMap<Over, Issuer>,
    /// Where each is served.
    pub addresses: BTreeMap<Over, SocketAddr>,
    /// By what clients that come by QUIC know the server.
    pub fingerprint: Option<Fingerprint>,
}

impl Doors {
    /// Opens the ends that are configured; sessions are told which addresses are theirs.
    pub(crate) fn open(
        config: &ServerConfig,
        key: &Key,
        others: Vec<Carrier>,
    ) -> Result<(Carriers, Self, Servers), StartError> {
        let (mut carriers, fingerprint) = open(config, key)?;
        others.into_iter().for_each(|other| carriers.add(other));
        let mut servers = Servers::default();
        let addresses = carriers.addresses().map_err(|error| StartError::Bind(config.listen, error))?;
        for (over, address) in &addresses {
            let reached = match (over, &config.quic) {
                (Over::Udp, _) => config.servers(*address),
                (Over::Quic, Some(quic)) => quic.servers(*address),
                _ => Some(vec![*address]),
            };
            servers = servers.with(*over, reached.ok_or(StartError::NoPublicAddress(*address))?);
        }
        let issuer = |over| (over, config.issuer(key.clone(), servers.of(over).to_vec()));
        let doors = Self { issuers: servers.transports().map(issuer).collect(), addresses, fingerprint };
        Ok((carriers, doors, servers))
    }

    /// Tells of them in the log.
    pub(crate) fn announce(&self) {
        for (over, address) in &self.addresses {
            match (over, &self.fingerprint) {
                (Over::Quic, Some(fingerprint)) => info!(%address, %over, %fingerprint, "serving"),
                (Over::Laminar, _) => info!(
                    %address, %over,
                    "serving; laminar neither encrypts nor knows who sends, so only loopback and private addresses are heard"
                ),
                _ => info!(%address, %over, "serving"),
            }
        }
    }
}

/// Opens the ends that are configured.
fn open(config: &ServerConfig, key: &Key) -> Result<(Carriers, Option<Fingerprint>), StartError> {
    let bind = |error| StartError::Bind(config.listen, error);
    let mut carriers = Carriers::default();
    carriers.add(Carrier::udp(config.listen).map_err(bind)?);
    warn_of_small_buffer(carriers.receive_buffer());
    if let Some(address) = config.laminar {
        carriers.add(Carrier::laminar(address).map_err(StartError::Laminar)?);
    }
    let Some(quic) = &config.quic else { return Ok((carriers, None)) };
    let (end, fingerprint) = quic.open(*key.bytes(), clock::unix_now())?;
    carriers.add(Carrier::Quic(end));
    Ok((carriers, Some(fingerprint)))
}

fn warn_of_small_buffer(bytes: usize) {
    // The default of many systems holds some 256 small datagrams.
    if bytes < 512 * 1024 {
        warn!(bytes, "the kernel grants a small receive buffer; raise net.core.rmem_max for many clients");
    }
}
