//! By what clients reach a server.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use truetick_netcode::transport::TransportKind;
use truetick_netcode::transport::memory::MemoryHub;
use truetick_netcode::transport::quic::certificate::Fingerprint;
use truetick_netcode::transport::quic::config::Trust;
use truetick_netcode::transport::quic::{Dial, QuicError, QuicRuntime, QuicTransport};
use truetick_netcode::transport::server_transport::ServerTransport;

/// The origin that native clients of WebTransport name.
pub const ORIGIN: &str = "https://truetick.example";

/// A choice of transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TransportChoice {
    /// Secure UDP
    #[default]
    Udp,
    /// QUIC datagrams and one stream
    Quic,
    /// The same inside HTTP/3, as browsers speak it
    Webtransport,
    /// laminar, among loopback and private addresses; only in builds with the feature `laminar`
    Laminar,
}

impl TransportChoice {
    /// What carries it.
    pub fn transport(self) -> TransportKind {
        match self {
            Self::Udp => TransportKind::Udp,
            Self::Quic | Self::Webtransport => TransportKind::Quic,
            Self::Laminar => TransportKind::Laminar,
        }
    }
}

impl fmt::Display for TransportChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Udp => "secure UDP",
            Self::Quic => "QUIC",
            Self::Webtransport => "WebTransport",
            Self::Laminar => "laminar",
        })
    }
}

/// Options of who reaches a server.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectArguments {
    /// What carries sessions
    #[arg(long, value_enum, default_value_t)]
    pub transport: TransportChoice,
    /// For QUIC: the fingerprint that the server prints when it starts
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Option<Fingerprint>,
}

impl ConnectArguments {
    /// How a server is reached whose certificate has the fingerprint, or the one that was given.
    pub fn connect_options(
        &self,
        fingerprint: Option<Fingerprint>,
    ) -> Result<ConnectOptions, Box<dyn Error>> {
        let web_origin =
            (self.transport == TransportChoice::Webtransport).then(|| ORIGIN.to_string());
        Ok(match self.transport {
            TransportChoice::Udp => ConnectOptions::Udp,
            TransportChoice::Laminar => ConnectOptions::Laminar,
            TransportChoice::Quic | TransportChoice::Webtransport => {
                let pinned = fingerprint.or(self.fingerprint).ok_or(
                    "QUIC wants to know its server: give the fingerprint that the server printed, with --fingerprint",
                )?;
                let dial = Dial { web_origin, ..Dial::new(Trust::Pinned(vec![pinned])) };
                ConnectOptions::Quic(QuicRuntime::start()?, dial)
            }
        })
    }
}

/// How clients reach a server.
#[derive(Clone, Debug)]
pub enum ConnectOptions {
    /// Secure UDP.
    Udp,
    /// laminar.
    Laminar,
    /// QUIC or WebTransport; all on one thread.
    Quic(QuicRuntime, Dial),
    /// Within this process.
    Memory(MemoryHub),
}

impl ConnectOptions {
    /// What carries it.
    pub fn transport(&self) -> TransportKind {
        match self {
            Self::Udp => TransportKind::Udp,
            Self::Laminar => TransportKind::Laminar,
            Self::Quic(..) => TransportKind::Quic,
            Self::Memory(_) => TransportKind::Memory,
        }
    }

    /// Opens an end at an address, to go through a relay where there is one.
    pub fn open(
        &self,
        address: SocketAddr,
        relay: Option<SocketAddr>,
    ) -> io::Result<ServerTransport> {
        match self {
            Self::Udp => ServerTransport::udp(address),
            Self::Laminar => ServerTransport::laminar(address),
            Self::Memory(hub) => hub.dial().map(ServerTransport::Memory),
            Self::Quic(runtime, dial) => {
                let dial = Dial { relay, ..dial.clone() };
                let end =
                    QuicTransport::dial(runtime.clone(), address, dial).map_err(
                        |error| match error {
                            QuicError::Socket(error) => error,
                            error => io::Error::other(error),
                        },
                    )?;
                Ok(ServerTransport::Quic(end))
            }
        }
    }
}
