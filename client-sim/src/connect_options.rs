//! How clients connect to a server: the choice of transport and its options.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use derive_more::Display;
use truetick_netcode::transport::TransportKind;
use truetick_transport::memory::MemoryHub;
use truetick_transport::quic::certificate::Fingerprint;
use truetick_transport::quic::config::Trust;
use truetick_transport::quic::{Dial, QuicError, QuicRuntime, QuicTransport};
use truetick_transport::server_transport::ServerTransport;

/// The web origin that native clients of WebTransport send.
pub const ORIGIN: &str = "https://truetick.example";

/// A choice of transport on the command line.
#[derive(Clone, Copy, Debug, Default, Display, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TransportChoice {
    /// UDP, with the encrypted packets of netcode 1.02.
    #[default]
    #[value(help = "Secure UDP")]
    #[display("secure UDP")]
    Udp,
    /// QUIC datagrams and one stream
    #[display("QUIC")]
    Quic,
    /// QUIC inside HTTP/3, as browsers use it
    #[display("WebTransport")]
    Webtransport,
    /// laminar, among loopback and private addresses; only in builds with the feature `laminar`
    #[display("laminar")]
    Laminar,
}

impl TransportChoice {
    /// The kind of transport that carries this choice.
    pub fn transport(self) -> TransportKind {
        match self {
            Self::Udp => TransportKind::Udp,
            Self::Quic | Self::Webtransport => TransportKind::Quic,
            Self::Laminar => TransportKind::Laminar,
        }
    }
}

/// Command line options for the connection to a server.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectArguments {
    /// Transport of the sessions
    #[arg(long, value_enum, default_value_t)]
    pub transport: TransportChoice,
    /// For QUIC: the fingerprint that the server prints when it starts
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Option<Fingerprint>,
}

impl ConnectArguments {
    /// How to connect to a server. QUIC and WebTransport pin the certificate to `fingerprint`, or
    /// else to the one of the command line.
    ///
    /// # Errors
    /// QUIC has no fingerprint, or its runtime cannot be started.
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
                let dial = Dial {
                    web_origin,
                    ..Dial::new(Trust::Pinned(vec![pinned]))
                };
                ConnectOptions::Quic(QuicRuntime::start()?, dial)
            }
        })
    }
}

/// How clients connect to a server.
#[derive(Clone, Debug)]
pub enum ConnectOptions {
    /// Secure UDP, each client with a socket of its own.
    Udp,
    /// The laminar protocol.
    Laminar,
    /// QUIC or WebTransport; all clients share one thread.
    Quic(QuicRuntime, Dial),
    /// A server in this process.
    Memory(MemoryHub),
}

impl ConnectOptions {
    /// The kind of transport that carries sessions.
    pub fn transport(&self) -> TransportKind {
        match self {
            Self::Udp => TransportKind::Udp,
            Self::Laminar => TransportKind::Laminar,
            Self::Quic(..) => TransportKind::Quic,
            Self::Memory(_) => TransportKind::Memory,
        }
    }

    /// Opens an endpoint at a local address. It connects through `relay` if there is one.
    ///
    /// # Errors
    /// The endpoint cannot be opened.
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
                let dial = Dial {
                    relay,
                    ..dial.clone()
                };
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
