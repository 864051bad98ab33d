//! Opens the configured transports and keeps what clients must know of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tracing::{info, warn};
use truetick_netcode::session::config::Servers;
use truetick_netcode::session::crypto::Key;
use truetick_netcode::session::token::Issuer;
use truetick_netcode::transport::TransportKind;
use truetick_transport::clock;
use truetick_transport::quic::certificate::Fingerprint;
use truetick_transport::server_transport::ServerTransport;
use truetick_transport::udp::tells_local_address;

use crate::config::ServerConfig;
use crate::host::StartError;
use crate::transport_set::TransportSet;

/// The transports on which a server listens, and what clients must know of them.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Issuer of tokens for each transport.
    pub issuers: BTreeMap<TransportKind, Issuer>,
    /// Local address of each transport.
    pub addresses: BTreeMap<TransportKind, SocketAddr>,
    /// Fingerprint of the certificate by which QUIC clients recognise the server; `None` without
    /// QUIC.
    pub fingerprint: Option<Fingerprint>,
}

impl Listeners {
    /// Opens the configured transports and adds `others`. Also returns the addresses of the server
    /// for the session layer.
    pub(crate) fn open(
        config: &ServerConfig,
        key: &Key,
        others: Vec<ServerTransport>,
    ) -> Result<(TransportSet, Self, Servers), StartError> {
        if let Some(address) = link_local(config) {
            return Err(StartError::LinkLocal(address));
        }
        let (mut transport_set, fingerprint) = open(config, key)?;
        others
            .into_iter()
            .for_each(|other| transport_set.add(other));
        let mut servers = Servers::default();
        let addresses = transport_set
            .addresses()
            .map_err(|error| StartError::Bind(config.listen, error))?;
        for (over, address) in &addresses {
            let reached = match (over, &config.quic) {
                (TransportKind::Udp, _) => config.servers(*address),
                (TransportKind::Quic, Some(quic)) => quic.servers(*address),
                _ => Some(vec![*address]),
            };
            servers = servers.with(*over, reached.ok_or(StartError::NoPublicAddress(*address))?);
        }
        let issuer = |over| (over, config.issuer(key.clone(), servers.of(over).to_vec()));
        let listeners = Self {
            issuers: servers.transports().map(issuer).collect(),
            addresses,
            fingerprint,
        };
        Ok((transport_set, listeners, servers))
    }

    /// Logs the address of each transport.
    pub(crate) fn announce(&self) {
        for (over, address) in &self.addresses {
            match (over, &self.fingerprint) {
                (TransportKind::Quic, Some(fingerprint)) => {
                    info!(%address, %over, %fingerprint, "serving")
                }
                (TransportKind::Laminar, _) => info!(
                    %address, %over,
                    "serving; laminar neither encrypts nor knows who sends, so only loopback and private addresses are heard"
                ),
                _ => info!(%address, %over, "serving"),
            }
        }
    }
}

/// Opens the configured transports.
fn open(
    config: &ServerConfig,
    key: &Key,
) -> Result<(TransportSet, Option<Fingerprint>), StartError> {
    let bind = |error| StartError::Bind(config.listen, error);
    let mut transport_set = TransportSet::default();
    transport_set.add(ServerTransport::udp(config.listen).map_err(bind)?);
    warn_of_small_buffer(transport_set.receive_buffer());
    if config.listen.ip().is_unspecified() && !tells_local_address() {
        warn!(
            "answers may leave by another address of this host than was asked: name one in `listen`"
        );
    }
    if let Some(address) = config.laminar {
        transport_set.add(ServerTransport::laminar(address).map_err(StartError::Laminar)?);
    }
    let Some(quic) = &config.quic else {
        return Ok((transport_set, None));
    };
    let (end, fingerprint) = quic.open(*key.bytes(), clock::unix_now())?;
    transport_set.add(ServerTransport::Quic(end));
    Ok((transport_set, Some(fingerprint)))
}

/// The first configured address that clients would be given but cannot reach: an IPv6 address that
/// is valid on one link only (RFC 4007).
fn link_local(config: &ServerConfig) -> Option<SocketAddr> {
    let reached = |public: &[SocketAddr], listen| {
        if public.is_empty() {
            vec![listen]
        } else {
            public.to_vec()
        }
    };
    let udp = reached(&config.public, config.listen);
    let quic = config
        .quic
        .iter()
        .flat_map(|quic| reached(&quic.public, quic.listen));
    let is_link_local = |address: &SocketAddr| matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local());
    udp.into_iter()
        .chain(quic)
        .chain(config.laminar)
        .find(is_link_local)
}

fn warn_of_small_buffer(bytes: usize) {
    // The default of many systems holds some 256 small datagrams.
    if bytes < 512 * 1024 {
        warn!(
            bytes,
            "the kernel grants a small receive buffer; raise net.core.rmem_max for many clients"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic_settings::QuicSettings;

    #[test]
    fn a_link_local_address_is_refused_before_anything_is_bound() {
        let at = |address: &str| address.parse::<SocketAddr>().unwrap();
        let start = |config: &ServerConfig| {
            Listeners::open(config, &Key::new([1; 32]), Vec::new()).map(|_| ())
        };
        let by_udp = |listen, public| ServerConfig {
            listen,
            public,
            ..ServerConfig::default()
        };
        let by_quic = |listen, public| ServerConfig {
            listen: at("127.0.0.1:0"),
            quic: Some(QuicSettings {
                listen,
                public,
                ..QuicSettings::default()
            }),
            ..ServerConfig::default()
        };
        for address in ["[fe80::1]:0", "[fe80::1%1]:0", "[febf::9%7]:40000"].map(at) {
            for config in [
                by_udp(address, Vec::new()),
                by_udp(at("[::]:0"), vec![at("[2001:db8::1]:1"), address]),
                by_quic(address, Vec::new()),
                by_quic(at("[::]:0"), vec![address]),
                ServerConfig {
                    laminar: Some(address),
                    ..by_udp(at("127.0.0.1:0"), Vec::new())
                },
            ] {
                let refused = start(&config).unwrap_err();
                assert!(
                    matches!(refused, StartError::LinkLocal(named) if named == address),
                    "{refused}"
                );
                assert!(refused.to_string().contains("link-local"), "{refused}");
            }
        }
        start(&by_udp(at("[::1]:0"), Vec::new())).unwrap();
        start(&by_udp(at("[::]:0"), vec![at("[fd00::1]:40000")])).unwrap();
    }
}
