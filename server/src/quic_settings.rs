//! The `[quic]` part of the configuration: QUIC and WebTransport in addition to UDP, on their own
//! port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;
use tracing::info;
use truetick_netcode::session::token::TOKEN_SERVERS;
use truetick_netcode::time::UnixTime;
use truetick_transport::quic::certificate::{
    Certificate, CertificateError, Fingerprint, SELF_SIGNED_DAYS,
};
use truetick_transport::quic::{ListenConfig, Origins, QuicError, QuicRuntime, QuicTransport};

use crate::files::read_text;
use crate::keys::warn_if_readable;

/// Settings of QUIC and WebTransport. Every key is optional.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicSettings {
    /// Address to listen on; 127.0.0.1:40001 by default. `[::]` includes IPv4.
    pub listen: SocketAddr,
    /// Addresses at which clients reach the listener, as tokens name them; at most 32. If empty,
    /// the listen address is used.
    pub public: Vec<SocketAddr>,
    /// File with the certificate chain (PEM), the server's own certificate first. Without it a
    /// self-signed one is made at each start, which clients can check by its fingerprint only.
    pub certificate: Option<PathBuf>,
    /// File with the certificate's private key (PEM).
    pub certificate_key: Option<PathBuf>,
    /// Origins of the pages that may connect by WebTransport, as `https://game.example`. If empty,
    /// no page may connect.
    pub origins: Vec<String>,
    /// Number of handshakes under way beyond which clients must prove their addresses first
    /// (Retry), 0 to `connections_per_address`; 64 by default.
    pub handshakes: usize,
    /// Maximum number of connections with a session, 1 to 65,536; 4,096 by default. As many again
    /// may be waiting for a session, for three seconds each.
    pub connections: usize,
    /// Maximum number of connections with a session per rate-limit key (IPv4 address or IPv6 /64),
    /// 1 to 65,536; 128 by default. As many again may be waiting for a session.
    pub connections_per_address: usize,
}

impl Default for QuicSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_001),
            public: Vec::new(),
            certificate: None,
            certificate_key: None,
            origins: Vec::new(),
            handshakes: 64,
            connections: 4_096,
            connections_per_address: 128,
        }
    }
}

/// Why QUIC could not be served.
#[derive(Debug, Error)]
pub enum QuicStartError {
    /// The file of the certificate or its key cannot be read.
    #[error("cannot read {}: {_1}", _0.display())]
    Unreadable(PathBuf, std::io::Error),
    /// Only one of certificate and key is set.
    #[error(
        "a certificate needs its key, and a key its certificate: set both `certificate` and `certificate_key`"
    )]
    Half,
    /// The certificate is not valid.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// QUIC cannot be served on the address.
    #[error("cannot serve QUIC on {0}: {1}")]
    Serve(SocketAddr, QuicError),
}

impl QuicSettings {
    /// The first setting that is not valid: its key, its value, and the allowed values.
    pub(crate) fn invalid_setting(&self) -> Option<(&'static str, String, String)> {
        let whole = |key, value: usize, low: usize, high: usize| {
            let allowed = format!("from {low} to {high}");
            (!(low..=high).contains(&value)).then(|| (key, value.to_string(), allowed))
        };
        let is_origin = |origin: &&String| {
            let host = origin
                .strip_prefix("https://")
                .or(origin.strip_prefix("http://"));
            host.is_none_or(|host| host.is_empty() || host.contains('/'))
        };
        let origin = self.origins.iter().find(is_origin).map(|origin| {
            let allowed = "scheme and host, as `https://game.example`, without a path".to_string();
            ("quic.origins", origin.clone(), allowed)
        });
        whole("quic.public (addresses)", self.public.len(), 0, TOKEN_SERVERS)
            .or_else(|| whole("quic.handshakes", self.handshakes, 0, 65_536))
            .or_else(|| whole("quic.connections", self.connections, 1, 65_536))
            .or_else(|| whole("quic.connections_per_address", self.connections_per_address, 1, 65_536))
            .or_else(|| {
                let most = self.connections_per_address;
                (self.handshakes > most).then(|| {
                    let allowed = format!(
                        "at most `quic.connections_per_address`, which is {most}: or who forges an address could keep it out"
                    );
                    ("quic.handshakes", self.handshakes.to_string(), allowed)
                })
            })
            .or(origin)
    }

    /// Begins to serve. Connection ids and stateless resets derive from `secret`, so that a server
    /// restarted with the same secret can inform clients that their connection is gone.
    ///
    /// # Errors
    /// If the certificate cannot be loaded or made, or the address cannot be served.
    pub fn open(
        &self,
        secret: [u8; 32],
        wall: UnixTime,
    ) -> Result<(QuicTransport, Fingerprint), QuicStartError> {
        let certificate = self.certificate(wall)?;
        let fingerprint = certificate.fingerprint();
        let config = ListenConfig {
            origins: Origins(self.origins.clone()),
            connections: self.connections,
            per_address: self.connections_per_address,
            handshakes: self.handshakes,
            ..ListenConfig::new(certificate, secret)
        };
        let serve = |error| QuicStartError::Serve(self.listen, error);
        let runtime = QuicRuntime::start().map_err(|error| serve(error.into()))?;
        Ok((
            QuicTransport::listen(runtime, self.listen, config).map_err(serve)?,
            fingerprint,
        ))
    }

    fn certificate(&self, wall: UnixTime) -> Result<Certificate, QuicStartError> {
        let read = |path: &PathBuf| {
            read_text(path).map_err(|error| QuicStartError::Unreadable(path.clone(), error))
        };
        match (&self.certificate, &self.certificate_key) {
            (Some(chain), Some(key)) => {
                warn_if_readable(key);
                Ok(Certificate::from_pem(&read(chain)?, &read(key)?)?)
            }
            (None, None) => {
                let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
                names.extend(self.public.iter().map(|address| address.ip().to_string()));
                info!(
                    days = SELF_SIGNED_DAYS,
                    "making a certificate; browsers take it for so long"
                );
                Ok(Certificate::self_signed(&names, wall)?)
            }
            _ => Err(QuicStartError::Half),
        }
    }

    /// The addresses that tokens name for a server that listens on `bound`: the public ones, or
    /// else `bound`. `None` if there are no public ones and `bound` is unspecified, such as
    /// 0.0.0.0.
    pub fn servers(&self, bound: SocketAddr) -> Option<Vec<SocketAddr>> {
        reached_at(&self.public, bound)
    }
}

/// The public addresses, or else the address `bound`; `None` if there are no public ones and
/// `bound` is unspecified.
pub(crate) fn reached_at(public: &[SocketAddr], bound: SocketAddr) -> Option<Vec<SocketAddr>> {
    match public.is_empty() {
        true => (!bound.ip().is_unspecified()).then(|| vec![bound]),
        false => Some(public.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_no_addresses_of_pages() {
        let with = |origin: &str| QuicSettings {
            origins: vec![origin.into()],
            ..QuicSettings::default()
        };
        assert_eq!(with("https://game.example").invalid_setting(), None);
        assert_eq!(with("http://127.0.0.1:8080").invalid_setting(), None);
        for invalid_setting in ["game.example", "https://game.example/", "https://", "*"] {
            assert_eq!(
                with(invalid_setting).invalid_setting().map(|(key, ..)| key),
                Some("quic.origins"),
                "{invalid_setting}"
            );
        }
    }

    #[test]
    fn handshakes_that_could_keep_an_address_out_are_refused_and_both_settings_named() {
        let with = |handshakes, connections_per_address| QuicSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            handshakes,
            connections_per_address,
            ..QuicSettings::default()
        };
        for (handshakes, per_address) in [(64, 128), (0, 1), (1, 1), (128, 128)] {
            assert_eq!(with(handshakes, per_address).invalid_setting(), None);
        }
        for (handshakes, per_address) in [(129, 128), (64, 63), (2, 1), (65_536, 128)] {
            let settings = with(handshakes, per_address);
            let (key, value, allowed) = settings.invalid_setting().expect("it is refused");
            assert_eq!((key, value), ("quic.handshakes", handshakes.to_string()));
            assert!(
                allowed.contains("quic.connections_per_address")
                    && allowed.contains(&per_address.to_string())
            );
            let refused = settings
                .open([0; 32], UnixTime::from_millis(0))
                .map(|_| ())
                .unwrap_err();
            assert!(
                refused.to_string().contains("connections_per_address"),
                "{refused}"
            );
        }
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let half = QuicSettings {
            certificate: Some("chain.pem".into()),
            ..QuicSettings::default()
        };
        let refused = half.open([0; 32], UnixTime::from_millis(0)).map(|_| ());
        assert!(matches!(refused, Err(QuicStartError::Half)));
    }
}
