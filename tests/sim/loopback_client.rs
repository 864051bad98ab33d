//! A client connected directly to a room, with both sides of its session in one object. It only
//! decodes and acknowledges.

use std::time::Duration;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::client::snapshot_buffer::{AppliedSnapshot, SnapshotBuffer, SnapshotError};
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::messages::Body;
use truetick_netcode::schema::Schema;
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::time::Timestamp;
use truetick_server::world_access::WorldAccess;

/// Budget of a tick's packets in bytes.
const BUDGET: usize = 2_400;

/// A client connected directly to a room, without a network.
pub struct LoopbackClient {
    client: ClientId,
    server_side: Connection,
    client_side: Connection,
    held: SnapshotBuffer,
}

impl LoopbackClient {
    /// Creates a client that is in the room from the next tick on.
    pub fn join(room: &mut dyn WorldAccess, client: u32, role: Role) -> Self {
        let (id, now) = (ClientId(client), Timestamp::default());
        room.join(id, UserId(u64::from(client)), role);
        let sides = [1, 2].map(|side| Connection::new(u64::from(client) << 8 | side, now));
        let [server_side, client_side] = sides;
        Self {
            client: id,
            server_side,
            client_side,
            held: SnapshotBuffer::new(),
        }
    }

    /// Returns its client id.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Returns its copy of the world.
    pub fn held(&self) -> &SnapshotBuffer {
        &self.held
    }

    /// Returns the room's payloads for it of the tick simulated last.
    pub fn payloads(&mut self, room: &mut dyn WorldAccess, now: Timestamp) -> Vec<Vec<u8>> {
        let (mut payloads, mut writer) = (Vec::new(), BitWriter::new());
        let mut more = room.plan_snapshot(self.client, BUDGET, Duration::ZERO);
        while more {
            let sequence = self.server_side.begin(&mut writer, now, Messages::None);
            writer.write(Body::Snapshot as u32, Body::BITS);
            more = room.write_snapshot(
                self.client,
                (sequence, self.server_side.max_payload()),
                now,
                &mut writer,
            );
            self.server_side.finish(&mut writer, now);
            payloads.push(writer.bytes().to_vec());
        }
        payloads
    }

    /// Receives one of the payloads.
    ///
    /// # Errors
    ///
    /// If the payload is malformed or its snapshot cannot be applied.
    ///
    /// # Panics
    ///
    /// If the payload is no snapshot.
    pub fn take(
        &mut self,
        schema: &Schema,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<AppliedSnapshot, SnapshotError> {
        let (sequence, mut reader) = self.client_side.open(payload, now)?;
        assert_eq!(reader.read(Body::BITS), Ok(Body::Snapshot as u32));
        let taken = self.held.take(schema, reader)?;
        self.client_side.accept(sequence);
        Ok(taken)
    }

    /// Returns its answer, which acknowledges the received payloads, after delivering it to the
    /// room.
    pub fn answer(&mut self, room: &mut dyn WorldAccess, now: Timestamp) -> Vec<u8> {
        let mut writer = BitWriter::new();
        self.client_side.begin(&mut writer, now, Messages::None);
        writer.write(Body::Empty as u32, Body::BITS);
        self.client_side.finish(&mut writer, now);
        self.server_side
            .open(writer.bytes(), now)
            .expect("a genuine answer");
        while let Some(sequence) = self.server_side.poll_acked() {
            room.packet_acked(self.client, sequence);
        }
        writer.bytes().to_vec()
    }
}
