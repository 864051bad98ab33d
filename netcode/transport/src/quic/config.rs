//! Configuration of both ends of QUIC, for sockets and for the simulator.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, IdleTimeout, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;

use super::certificate::{Certificate, Fingerprint};
use super::congestion::FloorFactory;
use crate::limits::TLS_SESSIONS_PER_CONNECTION;
use truetick_netcode::limits::{CHANNEL_WINDOW_BYTES, FRAME_BYTES, SNAPSHOT_BYTES};

/// The protocol id of native clients (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"truetick/1";

/// The protocol id of WebTransport over HTTP/3 (ALPN; RFC 9114).
pub(crate) const ALPN_WEB: &[u8] = b"h3";

/// Silence after which QUIC itself closes a connection. Sessions time out far earlier.
const IDLE: Duration = Duration::from_secs(15);

/// Bytes of datagrams that wait to be sent: the largest snapshots of two ticks. Further datagrams
/// displace the oldest, because late ones are useless.
const SEND_BYTES: usize = 2 * SNAPSHOT_BYTES;

/// Bytes of received datagrams that wait to be taken.
const RECEIVE_BYTES: usize = 256 * 1024;

/// The servers that a client trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Servers with one of these certificates.
    Pinned(Vec<Fingerprint>),
    /// Servers with this name and a certificate signed by one of these authorities.
    Authorities {
        /// Certificates of the authorities, in PEM format.
        pem: String,
        /// The server's name.
        name: String,
    },
}

/// Why QUIC could not be configured.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Certificate and key do not match, or their kind is not supported.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The authorities' certificates cannot be read.
    #[error("no authority can be read: {0}")]
    Authorities(rustls::pki_types::pem::Error),
    /// `handshakes` exceeds the number of connections per address.
    #[error(
        "`handshakes` is {0}, but must be at most `connections_per_address`, which is {1}: who forges an address could keep it out"
    )]
    Handshakes(usize, usize),
    /// The cipher for initial packets is missing.
    #[error(transparent)]
    Cipher(#[from] NoInitialCipherSuite),
}

/// Returns the transport parameters, which both ends share.
pub fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let stream = VarInt::from_u32((CHANNEL_WINDOW_BYTES + 4 * FRAME_BYTES) as u32);
    transport
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        // One is the session's; HTTP/3 needs the others.
        .max_concurrent_bidi_streams(VarInt::from_u32(4))
        .max_concurrent_uni_streams(VarInt::from_u32(8))
        // These bound the bytes that are sent ahead of being read, gaps included.
        .stream_receive_window(stream)
        .receive_window(VarInt::from_u32(2 * stream.into_inner() as u32))
        .send_window(2 * stream.into_inner())
        .datagram_send_buffer_size(SEND_BYTES)
        .datagram_receive_buffer_size(Some(RECEIVE_BYTES))
        .congestion_controller_factory(Arc::new(FloorFactory));
    transport
}

/// Returns a server's configuration with the given protocols. rustls keeps its TLS sessions, at
/// most 256 of all connections together.
///
/// # Errors
/// If the certificate cannot be used.
pub fn server(certificate: Certificate, alpn: &[&[u8]]) -> Result<ServerConfig, ConfigError> {
    server_with(server_tls(certificate, alpn)?)
}

/// Returns a server's TLS configuration.
pub(super) fn server_tls(
    certificate: Certificate,
    alpn: &[&[u8]],
) -> Result<rustls::ServerConfig, ConfigError> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)?;
    tls.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // Early data is marked, and each TLS session is used once (the store removes it).
    tls.max_early_data_size = u32::MAX;
    tls.send_tls13_tickets = TLS_SESSIONS_PER_CONNECTION;
    Ok(tls)
}

/// Returns a server's configuration with this TLS configuration.
pub(super) fn server_with(tls: rustls::ServerConfig) -> Result<ServerConfig, ConfigError> {
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    // Retry proves addresses on demand; no address validation tokens are issued for later
    // connections.
    let mut no_tokens = ValidationTokenConfig::default();
    no_tokens.sent(0);
    config
        .transport_config(Arc::new(transport()))
        .migration(true)
        .validation_token_config(no_tokens);
    Ok(config)
}

/// Returns a client's configuration.
///
/// # Errors
/// If the authorities cannot be read or TLS cannot be configured.
pub fn client(trust: &Trust, alpn: &[u8]) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::new(client_tls(trust, alpn)?);
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

/// Returns a client's TLS configuration.
///
/// # Errors
/// If the authorities cannot be read or TLS cannot be configured.
pub fn client_tls(trust: &Trust, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, ConfigError> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut tls = match trust {
        Trust::Pinned(fingerprints) => {
            let algorithms = provider().signature_verification_algorithms;
            let pinned = Pinned {
                fingerprints: fingerprints.clone(),
                algorithms,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(pinned))
                .with_no_client_auth()
        }
        Trust::Authorities { pem, .. } => {
            let mut roots = RootCertStore::empty();
            for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(authority.map_err(ConfigError::Authorities)?)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.enable_early_data = true;
    Ok(Arc::new(QuicClientConfig::try_from(tls)?))
}

impl Trust {
    /// Returns the server name that a client requests; `localhost` for pinned certificates.
    pub fn server_name(&self) -> &str {
        match self {
            Self::Pinned(_) => "localhost",
            Self::Authorities { name, .. } => name,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Accepts only pinned certificates, whatever names and times they contain.
#[derive(Debug)]
struct Pinned {
    fingerprints: Vec<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.fingerprints.contains(&Fingerprint::of(certificate)) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
