//! A server's QUIC end under test, and clients that can do to it what no client of this project
//! does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{TokenStore, TransportErrorCode};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use truetick_netcode::transport::{Event, PeerAddr, Transport};
use truetick_server::quic_settings::QuicSettings;
use truetick_transport::clock;
use truetick_transport::quic::QuicTransport;
use truetick_transport::quic::certificate::Fingerprint;
use truetick_transport::quic::config::{self, ALPN, Trust};
use truetick_transport::udp::{UdpPath, UdpTransport};
use truetick_transport::{ReceivedDatagram, wait_readable};

use crate::tamper::{Tamper, Tampering};
use crate::ways::{any, dial};

pub const PATIENCE: Duration = Duration::from_secs(5);

/// The server's end under test.
pub struct Tried {
    pub end: QuicTransport,
    pub fingerprint: Fingerprint,
    /// Connections that carried something, and those that ended.
    pub opened: usize,
    pub closed: usize,
}

impl Tried {
    pub fn new(handshakes: usize) -> Self {
        let settings = QuicSettings {
            listen: any(),
            handshakes,
            ..QuicSettings::default()
        };
        let (end, fingerprint) = settings.open([7; 32], clock::unix_now()).unwrap();
        Self {
            end,
            fingerprint,
            opened: 0,
            closed: 0,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.end.local_address()
    }

    pub fn look(&mut self) {
        wait_readable(
            [&self.end].into_iter(),
            Duration::from_millis(10),
            &mut Vec::new(),
        )
        .unwrap();
        let (opened, closed) = (&mut self.opened, &mut self.closed);
        let note = |_, event: Event<'_>, _| match event {
            Event::DatagramBytes(_) => *opened += 1,
            Event::Closed { .. } => *closed += 1,
            _ => {}
        };
        self.end.receive(clock::now(), note).unwrap();
    }

    /// Asserts that an honest client gets its connection within a second.
    pub fn serves_the_honest(&mut self) {
        let mut honest = dial(self.fingerprint, None);
        let before = self.opened;
        honest.open(PeerAddr::quic(1, self.address()), b"hello");
        honest.flush();
        let deadline = clock::now() + Duration::from_secs(1);
        while self.opened == before {
            assert!(clock::now() < deadline, "an honest client is not served");
            self.look();
        }
    }
}

/// A socket that sends and receives arbitrary datagrams.
pub struct Raw(pub UdpTransport);

impl Raw {
    pub fn new() -> Self {
        Self(UdpTransport::bind(any(), UdpPath::Std).unwrap())
    }

    pub fn say(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.0.send(to.into(), datagram);
        self.0.flush();
    }

    /// Receives up to `count` datagrams within a time, from one address or from all.
    pub fn hear(
        &mut self,
        from: Option<SocketAddr>,
        count: usize,
        within: Duration,
    ) -> Vec<Vec<u8>> {
        let (deadline, mut came) = (clock::now() + within, Vec::new());
        while came.len() < count && clock::now() < deadline {
            wait_readable(
                [&self.0].into_iter(),
                deadline.since(clock::now()),
                &mut Vec::new(),
            )
            .unwrap();
            let note = |datagram: ReceivedDatagram<'_>| {
                if from.is_none_or(|from| from == datagram.from) {
                    came.push(datagram.bytes.to_vec());
                }
            };
            self.0.receive(clock::now(), note).unwrap();
        }
        came
    }

    /// The first datagram of a genuine client that takes this socket for its server.
    pub fn initial(&mut self, tried: &Tried) -> Vec<u8> {
        let mut client = dial(tried.fingerprint, None);
        client.open(PeerAddr::quic(1, self.0.local_address().unwrap()), b"hello");
        client.flush();
        let first = self.hear(None, 1, PATIENCE).remove(0);
        // Dropping the client takes a moment; its repetitions are of no interest.
        std::thread::spawn(move || drop(client));
        first
    }
}

/// A client with the standard's features and none of this project's.
pub struct Stranger {
    pub runtime: Runtime,
    pub config: ClientConfig,
}

/// A token store that returns one token again and again.
pub struct Reused(pub Vec<u8>);

impl TokenStore for Reused {
    fn insert(&self, _: &str, _: Bytes) {}

    fn take(&self, _: &str) -> Option<Bytes> {
        Some(self.0.clone().into())
    }
}

impl Stranger {
    pub fn new(tried: &Tried) -> Self {
        Self::trusting(tried.fingerprint)
    }

    /// Creates a client of the server with this fingerprint.
    pub fn trusting(fingerprint: Fingerprint) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let trust = Trust::Pinned(vec![fingerprint]);
        Self {
            runtime,
            config: config::client(&trust, ALPN).unwrap(),
        }
    }

    pub fn tampering(tried: &Tried, tamper: Tamper) -> Self {
        let plain = Self::new(tried);
        let trust = Trust::Pinned(vec![tried.fingerprint]);
        let tls: Arc<QuicClientConfig> = config::client_tls(&trust, ALPN).unwrap();
        let mut config = ClientConfig::new(Arc::new(Tampering(tls, tamper)));
        config.transport_config(Arc::new(config::transport()));
        Self { config, ..plain }
    }

    pub fn connect(&self, to: SocketAddr) -> Result<(Endpoint, Connection), ConnectionError> {
        self.runtime.block_on(async {
            let endpoint = Endpoint::client(any()).unwrap();
            let connecting = endpoint
                .connect_with(self.config.clone(), to, "localhost")
                .unwrap();
            let connection = timeout(PATIENCE, connecting)
                .await
                .unwrap_or(Err(ConnectionError::TimedOut))?;
            Ok((endpoint, connection))
        })
    }

    pub fn closed_by_server(&self, connection: &Connection) -> TransportErrorCode {
        let closed = self
            .runtime
            .block_on(async { timeout(PATIENCE, connection.closed()).await });
        match closed.expect("the server closes the connection") {
            ConnectionError::ConnectionClosed(close) => close.error_code,
            other => panic!("{other:?}"),
        }
    }
}
