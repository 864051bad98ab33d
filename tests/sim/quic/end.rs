//! One end of QUIC connections without a socket: datagrams of the network in and out, time as an
//! argument.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ServerConfig, StreamEvent, StreamId, VarInt,
};
use truetick_netcode::limits::FRAME_BYTES;
use truetick_netcode::time::Timestamp;
use truetick_netcode::transport::{PeerAddr, Transmit};
use truetick_transport::clock::Instant;

/// Something received from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A datagram of the connection.
    Datagram(Vec<u8>),
    /// A frame of the connection's stream.
    Frame(Vec<u8>),
    /// The maximum size of a datagram on the connection.
    DatagramBytes(usize),
    /// The end of the connection.
    Closed {
        /// Whether the peer closed it.
        told: bool,
    },
}

struct Line {
    connection: Connection,
    addr: PeerAddr,
    stream: Option<StreamId>,
    /// Bytes of frames that the stream did not accept yet.
    unsent: VecDeque<u8>,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    announced: bool,
    over: bool,
}

/// One end of QUIC connections without a socket.
pub(crate) struct QuicEnd {
    endpoint: Endpoint,
    client: Option<ClientConfig>,
    lines: BTreeMap<usize, Line>,
    by_addr: BTreeMap<PeerAddr, ConnectionHandle>,
    came: VecDeque<(PeerAddr, Came)>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    base: Instant,
    connections: u64,
}

impl QuicEnd {
    /// Creates an end. All ends of a run count their time from the same `base`. An end with a
    /// client configuration opens connections.
    pub fn new(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        client: Option<ClientConfig>,
        base: Instant,
    ) -> Self {
        Self {
            endpoint: Endpoint::new(Arc::new(config), server.map(Arc::new), true, None),
            client,
            lines: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            came: VecDeque::new(),
            out: VecDeque::new(),
            base,
            connections: 0,
        }
    }

    fn at(&self, now: Timestamp) -> Instant {
        self.base + Duration::from_nanos(now.as_nanos())
    }

    /// Handles a datagram of the network.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Timestamp) {
        let (at, mut answer) = (self.at(now), Vec::new());
        match self
            .endpoint
            .handle(at, from, None, None, BytesMut::from(bytes), &mut answer)
        {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(line) = self.lines.get_mut(&handle.0) {
                    line.connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = self.endpoint.accept(incoming, at, &mut answer, None);
                let accepted = accepted.map_err(|refused| refused.response);
                match accepted {
                    Ok((handle, connection)) => {
                        self.connections += 1;
                        let addr = PeerAddr::quic(self.connections, connection.remote_address());
                        self.add(handle, connection, addr);
                    }
                    Err(response) => {
                        self.out.extend(
                            response.map(|to| (to.destination, answer[..to.size].to_vec())),
                        );
                    }
                }
            }
            Some(DatagramEvent::Response(to)) => {
                self.out
                    .push_back((to.destination, answer[..to.size].to_vec()));
            }
            None => {}
        }
        self.drive(now);
    }

    fn add(&mut self, handle: ConnectionHandle, connection: Connection, addr: PeerAddr) {
        let (unsent, partial) = (VecDeque::new(), Vec::new());
        let line = Line {
            connection,
            addr,
            stream: None,
            unsent,
            partial,
            announced: false,
            over: false,
        };
        self.lines.insert(handle.0, line);
        self.by_addr.insert(addr, handle);
    }

    /// Sends a transmit to a peer.
    pub fn send(&mut self, to: PeerAddr, transmit: Transmit, now: Timestamp) {
        if matches!(transmit, Transmit::Open(_)) {
            self.open(to, now);
        }
        let at = self.at(now);
        let Some(line) = self
            .by_addr
            .get(&to)
            .and_then(|handle| self.lines.get_mut(&handle.0))
        else {
            return;
        };
        match transmit {
            Transmit::Datagram(bytes) => {
                drop(line.connection.datagrams().send(Bytes::from(bytes), true))
            }
            Transmit::Open(frame) | Transmit::Frame(frame) => {
                line.unsent.extend((frame.len() as u16).to_le_bytes());
                line.unsent.extend(frame);
            }
            Transmit::Close => {
                line.over = true;
                line.connection
                    .close(at, VarInt::from_u32(0), Bytes::from_static(b"over"));
            }
        }
        self.drive(now);
    }

    fn open(&mut self, to: PeerAddr, now: Timestamp) {
        let Some(config) = self.client.clone() else {
            return;
        };
        let opened = self
            .endpoint
            .connect(self.at(now), config, to.address, "localhost");
        let Ok((handle, connection)) = opened else {
            return;
        };
        self.add(handle, connection, to);
    }

    /// Returns the peers of its connections.
    pub fn addrs(&self) -> impl Iterator<Item = &PeerAddr> {
        self.by_addr.keys()
    }

    /// Handles all timeouts up to `now` and prepares the datagrams to send.
    pub fn drive(&mut self, now: Timestamp) {
        let (at, mut ended) = (self.at(now), Vec::new());
        for (handle, line) in &mut self.lines {
            while line.connection.poll_timeout().is_some_and(|due| due <= at) {
                line.connection.handle_timeout(at);
            }
            line.carry(self.client.is_some(), &mut self.came);
            let mut buffer = Vec::new();
            while let Some(transmit) = line.connection.poll_transmit(at, 1, &mut buffer) {
                self.out
                    .push_back((transmit.destination, std::mem::take(&mut buffer)));
            }
            while let Some(event) = line.connection.poll_endpoint_events() {
                if let Some(answer) = self.endpoint.handle_event(ConnectionHandle(*handle), event) {
                    line.connection.handle_event(answer);
                }
            }
            if line.connection.is_drained() {
                ended.push((*handle, line.addr));
            }
        }
        for (handle, addr) in ended {
            self.lines.remove(&handle);
            self.by_addr.remove(&addr);
        }
    }

    /// Returns the next datagram for the network.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    /// Returns the next received item.
    pub fn poll(&mut self) -> Option<(PeerAddr, Came)> {
        self.came.pop_front()
    }
}

impl Line {
    fn carry(&mut self, opens: bool, came: &mut VecDeque<(PeerAddr, Came)>) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected if opens => {
                    self.stream = self.connection.streams().open(Dir::Bi);
                    self.announce(came);
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.stream.or(self.connection.streams().accept(Dir::Bi));
                    self.announce(came);
                }
                Event::ConnectionLost { reason } if !self.over => {
                    self.over = true;
                    let told = matches!(reason, ConnectionError::ApplicationClosed(_));
                    came.push_back((self.addr, Came::Closed { told }));
                }
                _ => {}
            }
        }
        if self.over {
            return;
        }
        self.write();
        if self.announced {
            while let Some(datagram) = self.connection.datagrams().recv() {
                came.push_back((self.addr, Came::Datagram(datagram.to_vec())));
            }
        }
        self.read(came);
    }

    fn announce(&mut self, came: &mut VecDeque<(PeerAddr, Came)>) {
        if !std::mem::replace(&mut self.announced, true) {
            let room = self.connection.datagrams().max_size().unwrap_or(0);
            came.push_back((self.addr, Came::DatagramBytes(room)));
        }
    }

    fn write(&mut self) {
        let Some(stream) = self.stream else { return };
        while !self.unsent.is_empty() {
            let (bytes, _) = self.unsent.as_slices();
            match self.connection.send_stream(stream).write(bytes) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(_) => break,
            }
        }
    }

    fn read(&mut self, came: &mut VecDeque<(PeerAddr, Came)>) {
        let Some(stream) = self.stream else { return };
        let mut receive = self.connection.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else {
            return;
        };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.partial.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
        while let Some(length) = self
            .partial
            .first_chunk()
            .map(|head| usize::from(u16::from_le_bytes(*head)))
        {
            assert!((1..=FRAME_BYTES).contains(&length), "both ends are ours");
            if self.partial.len() < 2 + length {
                break;
            }
            came.push_back((self.addr, Came::Frame(self.partial[2..2 + length].to_vec())));
            self.partial.drain(..2 + length);
        }
    }
}
