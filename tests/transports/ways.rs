//! Every transport, by name.

use std::net::SocketAddr;

use truetick_client_sim::connect_options::{
    ConnectArguments, ConnectOptions, ORIGIN, TransportChoice,
};
use truetick_server::config::ServerConfig;
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;
use truetick_transport::memory::MemoryHub;
use truetick_transport::quic::certificate::Fingerprint;
use truetick_transport::quic::{QuicRuntime, QuicTransport};
use truetick_transport::server_transport::ServerTransport;

/// A transport under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Memory,
    Udp,
    Quic,
    WebTransport,
    Laminar,
}

/// Makes one test of a story for each transport.
macro_rules! on_every_way {
    ($($story:ident)*) => {
        $(mod $story {
            use crate::ways::Way;

            #[test]
            fn over_memory() {
                super::$story(Way::Memory);
            }

            #[test]
            fn over_udp() {
                super::$story(Way::Udp);
            }

            #[test]
            fn over_quic() {
                super::$story(Way::Quic);
            }

            #[test]
            fn over_webtransport() {
                super::$story(Way::WebTransport);
            }

            #[test]
            fn over_laminar() {
                super::$story(Way::Laminar);
            }
        })*
    };
}

pub(crate) use on_every_way;

/// Any port on loopback.
pub fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn quic() -> QuicSettings {
    QuicSettings {
        listen: any(),
        origins: vec![ORIGIN.into()],
        ..QuicSettings::default()
    }
}

impl Way {
    /// Returns whether it has connections and frames.
    pub fn is_connection_oriented(self) -> bool {
        !matches!(self, Self::Udp | Self::Laminar)
    }

    fn choice(self) -> TransportChoice {
        match self {
            Self::Memory | Self::Udp => TransportChoice::Udp,
            Self::Quic => TransportChoice::Quic,
            Self::WebTransport => TransportChoice::Webtransport,
            Self::Laminar => TransportChoice::Laminar,
        }
    }

    /// Returns the server configuration for it.
    pub fn configure(self, config: ServerConfig) -> ServerConfig {
        ServerConfig {
            listen: any(),
            quic: matches!(self, Self::Quic | Self::WebTransport).then(quic),
            laminar: (self == Self::Laminar).then(any),
            ..config
        }
    }

    /// Returns the connect options of its clients. They identify a server by its fingerprint or
    /// find it in a hub.
    pub fn connect_options(
        self,
        fingerprint: Option<Fingerprint>,
        hub: &MemoryHub,
    ) -> ConnectOptions {
        let options = ConnectArguments {
            transport: self.choice(),
            fingerprint,
        };
        match self {
            Self::Memory => ConnectOptions::Memory(hub.clone()),
            _ => options.connect_options(None).unwrap(),
        }
    }

    /// Creates a server's end and a client's end.
    pub fn pair(self) -> (ServerTransport, ServerTransport) {
        let hub = MemoryHub::default();
        let (server, fingerprint) = match self {
            Self::Memory => (ServerTransport::Memory(hub.listen(any()).unwrap()), None),
            Self::Udp => (ServerTransport::udp(any()).unwrap(), None),
            Self::Laminar => (ServerTransport::laminar(any()).unwrap(), None),
            Self::Quic | Self::WebTransport => {
                let (end, fingerprint) = quic().open([7; 32], clock::unix_now()).unwrap();
                (ServerTransport::Quic(end), Some(fingerprint))
            }
        };
        let client = self
            .connect_options(fingerprint, &hub)
            .open(any(), None)
            .unwrap();
        (server, client)
    }
}

/// Creates a client's QUIC end with a thread of its own.
pub fn dial(fingerprint: Fingerprint, relay: Option<SocketAddr>) -> QuicTransport {
    let options = ConnectArguments {
        transport: TransportChoice::Quic,
        fingerprint: Some(fingerprint),
    };
    let Ok(ConnectOptions::Quic(_, dial)) = options.connect_options(None) else {
        unreachable!("it is QUIC")
    };
    let dial = truetick_transport::quic::Dial { relay, ..dial };
    QuicTransport::dial(QuicRuntime::start().unwrap(), any(), dial).unwrap()
}
