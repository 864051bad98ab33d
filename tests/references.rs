//! Commands that name entities: a client cannot detect an entity outside its interest by naming it.

use std::time::Duration;

use bevy_ecs::change_detection::{Mut, Res};
use bevy_ecs::component::Component;
use bevy_ecs::system::Query;
use bevy_ecs::world::World;
use glam::Vec2;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::{Command, write_commands};
use truetick_netcode::error::WireError;
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::replication::NetId;
use truetick_netcode::schema::{Field, KindId, Replicate, SchemaError};
use truetick_netcode::session::{ClientId, Role, UserId};
use truetick_netcode::tick::Tick;
use truetick_netcode::time::Timestamp;
use truetick_server::entity_table::EntityTable;
use truetick_server::game::{Game, Inputs};
use truetick_server::registry::Registry;
use truetick_server::room::{Room, RoomConfig};
use truetick_server::systems::Systems;
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;

/// Points at an entity, which counts it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Point([Option<NetId>; 1]);

impl Command for Point {
    fn write(&self, writer: &mut BitWriter) {
        writer.write(self.0[0].map_or(u32::MAX, NetId::to_bits), 32);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let bits = reader.read(32)?;
        Ok(Self([(bits != u32::MAX).then(|| NetId::from_bits(bits))]))
    }

    fn targets(&mut self) -> &mut [Option<NetId>] {
        &mut self.0
    }
}

/// An entity on a line that counts how often it was pointed at.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Stand {
    place: u32,
    pointed: u32,
}

impl Replicate for Stand {
    const NAME: &'static str = "stand";
    const FIELDS: &'static [Field] = &[Field::count("place", 12), Field::count("pointed", 8)];

    fn quantise(&self, out: &mut [u32]) {
        out.copy_from_slice(&[self.place, self.pointed & 0xff]);
    }

    fn restore(fields: &[u32]) -> Self {
        Self {
            place: fields[0],
            pointed: fields[1],
        }
    }
}

fn note(
    inputs: Res<'_, Inputs<Point>>,
    table: Res<'_, EntityTable>,
    mut stands: Query<'_, '_, &mut Stand>,
) {
    for id in inputs.0.iter().filter_map(|(_, point)| point.0[0]) {
        let row = table.row(id.slot).filter(|row| row.id == id);
        if let Some(mut stand) = row.and_then(|row| stands.get_mut(row.entity).ok()) {
            stand.pointed += 1;
        }
    }
}

/// A game with a client every 100 metres.
struct Line;

impl Game for Line {
    type Command = Point;

    fn registry(&self) -> Result<Registry, SchemaError> {
        let mut registry = Registry::new();
        let stand = registry.add_component::<Stand>()?;
        registry.add_kind("stand", &[stand])?;
        Ok(registry)
    }

    fn insert_resources(&self, _: &mut World) {}

    fn populate(&self, _: &mut World, _: u64) {}

    fn add_systems(&self, systems: &mut Systems) {
        systems.add("note", note);
    }

    fn join(&self, world: &mut World, client: ClientId) -> Option<NetId> {
        let stand = Stand {
            place: client.0 * 100,
            pointed: 0,
        };
        world.resource_scope(|world, mut table: Mut<'_, EntityTable>| {
            table.spawn(&mut world.commands(), KindId(0), Some(client), stand)
        })
    }

    fn leave(&self, _: &mut World, _: ClientId) {}

    fn place(&self, _: KindId, fields: &[u32]) -> Option<Vec2> {
        Some(Vec2::new(fields[0] as f32, 0.0))
    }
}

/// The world's hash and the client's packet after it pointed at an entity.
fn after_pointing(sight_m: f32, at: Option<NetId>) -> (u64, Vec<u8>) {
    let now = Timestamp::from_millis(1_000);
    let config = RoomConfig {
        relevance_radius_m: Some(sight_m),
        ..RoomConfig::default()
    };
    let mut room = WorldRoom::new(Line, config, now).unwrap();
    let me = ClientId(1);
    (1..=2).for_each(|client| room.join(ClientId(client), UserId(u64::from(client)), Role::Player));
    let mut packet = BitWriter::new();
    for tick in 1..=3 {
        let mut writer = BitWriter::new();
        write_commands(&mut writer, Tick(tick), [Point([at])].iter());
        writer.pad_to_byte();
        room.receive_commands(me, BitReader::new(writer.bytes()), now)
            .unwrap();
        room.simulate(Timestamp::default());
        assert!(room.plan_snapshot(me, 1_000, Duration::ZERO));
        packet.clear();
        room.write_snapshot(me, (u64::from(tick), PAYLOAD_BYTES), now, &mut packet);
        packet.pad_to_byte();
    }
    (room.world_hash(), packet.bytes().to_vec())
}

#[test]
fn line_43_to_name_what_is_not_seen_is_to_name_what_does_not_exist() {
    let (other, missing) = (
        NetId {
            slot: 1,
            generation: 0,
        },
        NetId {
            slot: 7,
            generation: 3,
        },
    );
    let nothing = after_pointing(20.0, None);
    assert_eq!(after_pointing(20.0, Some(missing)), nothing);
    assert_eq!(after_pointing(20.0, Some(other)), nothing);
    // A client can point at an entity within interest, but not at a former entity of its slot.
    let seen = after_pointing(200.0, None);
    assert_ne!(after_pointing(200.0, Some(other)).0, seen.0);
    assert_eq!(
        after_pointing(
            200.0,
            Some(NetId {
                generation: 1,
                ..other
            })
        ),
        seen
    );
}
