//! A genuine QUIC client that changes the plaintext of its packets just before they are sealed.

use std::any::Any;
use std::sync::Arc;

use quinn_proto::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
    Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};

/// The stage of a connection in which a packet is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Initial,
    Handshake,
    /// Packets with application data.
    Data,
}

/// A function that changes the payload of a packet before it is sealed.
pub type Tamper = Arc<dyn Fn(Stage, &mut [u8]) + Send + Sync>;

/// A client's cryptography that tampers with packets.
pub struct Tampering(pub Arc<dyn ClientConfig>, pub Tamper);

impl ClientConfig for Tampering {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = self.0.clone().start_session(version, server_name, params)?;
        Ok(Box::new(TamperingSession {
            session,
            tamper: self.1.clone(),
            keys: 0,
        }))
    }
}

struct TamperingSession {
    session: Box<dyn Session>,
    tamper: Tamper,
    /// Number of key sets that the handshake has produced so far.
    keys: u32,
}

impl TamperingSession {
    fn wrap(&self, stage: Stage, keys: Keys) -> Keys {
        let local = Box::new(TamperingKey {
            key: keys.packet.local,
            stage,
            tamper: self.tamper.clone(),
        });
        Keys {
            header: keys.header,
            packet: KeyPair {
                local,
                remote: keys.packet.remote,
            },
        }
    }
}

impl Session for TamperingSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.wrap(Stage::Initial, self.session.initial_keys(dst_cid, side))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.session.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.session.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.session.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.session.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.session.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.session.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let keys = self.session.write_handshake(buf)?;
        self.keys += 1;
        let stage = if self.keys == 1 {
            Stage::Handshake
        } else {
            Stage::Data
        };
        Some(self.wrap(stage, keys))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.session.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.session.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.session.export_keying_material(output, label, context)
    }
}

struct TamperingKey {
    key: Box<dyn PacketKey>,
    stage: Stage,
    tamper: Tamper,
}

impl PacketKey for TamperingKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let end = buf.len() - self.key.tag_len();
        (self.tamper)(self.stage, &mut buf[header_len..end]);
        self.key.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut bytes::BytesMut,
    ) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}
