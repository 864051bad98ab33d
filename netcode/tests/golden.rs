//! Compares the golden vectors of `PROTOCOL.md` with the code.

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::{Connection, Messages};
use truetick_netcode::disconnect::{DisconnectNotice, DisconnectReason};
use truetick_netcode::messages::{
    Body, ClientMessage, MismatchReport, ReportedEntity, ServerMessage, encode,
};
use truetick_netcode::packet::PROTOCOL;
use truetick_netcode::schema::{Field, FieldPriors, Priors, Replicate, Schema};
use truetick_netcode::session::challenge::Challenges;
use truetick_netcode::session::crypto::{Key, PacketKey};
use truetick_netcode::session::keys::SessionKeys;
use truetick_netcode::session::packet::{Kind, seal, write_request};
use truetick_netcode::session::token::{
    ConnectToken, PrivateToken, Purpose, Resumed, SealedToken, UserData, token_tag,
};
use truetick_netcode::session::{ClientId, UserId};
use truetick_netcode::time::{Timestamp, UnixTime};
use xxhash_rust::xxh3::xxh3_64;

const PROTOCOL_MD: &str = include_str!("../PROTOCOL.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A vector as text; the table has a hash in place of a long one.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 64 {
        format!("{} bytes, {:016x}", bytes.len(), xxh3_64(bytes))
    } else {
        hex(bytes)
    }
}

/// Asserts that each vector equals the one in the table's row that starts with its name.
fn hold(vectors: &[(&str, &[u8])]) {
    let mut wrong = Vec::new();
    for (what, bytes) in vectors {
        let row = PROTOCOL_MD
            .lines()
            .find(|line| line.starts_with(&format!("| {what} |")));
        let vector = row
            .and_then(|row| row.split('`').nth(1))
            .unwrap_or_default();
        if vector != shown(bytes) {
            wrong.push(format!("| {what} | `{}` |", shown(bytes)));
        }
    }
    assert!(
        wrong.is_empty(),
        "these rows should be\n{}",
        wrong.join("\n")
    );
}

fn rising<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from.wrapping_add(i as u8))
}

fn private_token(user_data: UserData) -> PrivateToken {
    PrivateToken {
        user: UserId(0x0102_0304_0506_0708),
        timeout_s: 10,
        servers: vec![
            "127.0.0.1:40000".parse().unwrap(),
            "[2001:db8::1]:40001".parse().unwrap(),
        ],
        client_key: Key::new(rising(0)),
        server_key: Key::new(rising(128)),
        user_data,
    }
}

fn connect_token(private: &PrivateToken, sealed: &SealedToken, expires: u64) -> ConnectToken {
    ConnectToken {
        protocol: PROTOCOL,
        created: expires - 30,
        expires,
        nonce: rising(100),
        sealed: Box::new(*sealed),
        timeout_s: private.timeout_s,
        servers: private.servers.clone(),
        client_key: private.client_key.clone(),
        server_key: private.server_key.clone(),
    }
}

#[test]
fn the_standards_bytes_are_as_documented() {
    let (key, nonce, expires) = (Key::new(rising(64)), rising(100), 1_767_225_630);
    let private = private_token(rising(0));
    let sealed = private.seal(&key, PROTOCOL, expires, &nonce);
    let request = write_request(PROTOCOL, expires, &nonce, &sealed);
    let token = connect_token(&private, &sealed, expires);
    let mut challenges = Challenges::new(&Key::new(rising(32)));
    let (tag, made) = (token_tag(&sealed), Timestamp::from_millis(5_000));
    let mut challenge = || {
        challenges.make(
            private.servers[0],
            &tag,
            private.user,
            &private.user_data,
            made,
        )
    };
    challenge();
    let challenge = challenge();
    let mut keys = SessionKeys::new(rising(0), &Key::new(rising(1)), &Key::new(rising(17)));
    let response = keys.seal_response(PROTOCOL, &challenge).unwrap();
    let packet_key = PacketKey::new(&Key::new(rising(17)));
    let sealed_packet = |kind, sequence, contents: &[u8]| {
        let mut packet = Vec::new();
        seal(kind, sequence, PROTOCOL, &packet_key, contents, &mut packet);
        packet
    };
    hold(&[
        ("private token, sealed", &*sealed),
        ("connect token", &*token.to_bytes()),
        ("request", &request),
        ("challenge 1, its number and token", &challenge),
        ("response 0 of tag 0 1 2 3 4 ...", &response),
        (
            "denied, number 2^63",
            &sealed_packet(Kind::Denied, 1 << 63, &[]),
        ),
        (
            "denied, number 1, clock ahead",
            &sealed_packet(Kind::Denied, 1 << 63 | 6 << 55 | 1, &[]),
        ),
        (
            "keep-alive 0, index 3 of 256",
            &sealed_packet(Kind::KeepAlive, 0, &[3, 0, 0, 0, 0, 1, 0, 0]),
        ),
        (
            "payload 1000, bytes 1 2 3",
            &sealed_packet(Kind::Payload, 1_000, &[1, 2, 3]),
        ),
        ("disconnect 255", &sealed_packet(Kind::Disconnect, 255, &[])),
    ]);
}

#[test]
fn our_own_bytes_are_as_documented() {
    let mut user_data = [0; 256];
    let resume = Some(Resumed {
        client: ClientId(7),
        epoch: 2,
    });
    Purpose {
        room: 3,
        issued: Some(UnixTime::from_millis(1_767_225_600_000)),
        resume,
        ..Purpose::default()
    }
    .write(&mut user_data);
    let mut writer = BitWriter::new();
    let mut connection = Connection::new(1, Timestamp::default());
    connection.begin(&mut writer, Timestamp::default(), Messages::BesideState);
    writer.write(Body::Empty as u32, Body::BITS);
    connection.finish(&mut writer, Timestamp::default());
    let empty = writer.bytes().to_vec();
    let mut connection = Connection::new(1, Timestamp::default());
    connection.begin(&mut writer, Timestamp::default(), Messages::None);
    writer.write(Body::DisconnectNotice as u32, Body::BITS);
    DisconnectNotice {
        reason: DisconnectReason::OtherSchema,
        schema: 4,
    }
    .write(&mut writer);
    connection.finish(&mut writer, Timestamp::default());
    hold(&[
        ("user data of a ticket, first 20 bytes", &user_data[..20]),
        ("first packet, nothing to acknowledge, empty", &empty),
        (
            "first packet, a disconnect notice: other schema, 4",
            writer.bytes(),
        ),
    ]);
}

/// A component with every kind of field.
struct Every;

const TURNED: [Field; 4] = Field::quaternion(["largest", "a", "b", "c"], 9);

impl Replicate for Every {
    const NAME: &'static str = "every";
    const FIELDS: &'static [Field] = &[
        Field::linear("x", -64.0, 64.0, 0.25)
            .moved_by(1)
            .predicted(),
        Field::linear("vx", -16.0, 16.0, 0.5).extrapolated(),
        Field::turn("heading", 12).extrapolated(),
        Field::count("score", 32),
        Field::up_to("health", 100).team(),
        Field::flag("alive"),
        Field::reference("target").owner(),
        Field::count("dice", 7).server(),
        TURNED[0],
        TURNED[1],
        TURNED[2],
        TURNED[3],
    ];

    fn quantise(&self, _: &mut [u32]) {}

    fn restore(_: &[u32]) -> Self {
        Self
    }
}

/// A component with a single field.
struct Single;

impl Replicate for Single {
    const NAME: &'static str = "single";
    const FIELDS: &'static [Field] = &[Field::up_to("mood", 4)];

    fn quantise(&self, _: &mut [u32]) {}

    fn restore(_: &[u32]) -> Self {
        Self
    }
}

const PRIOR: FieldPriors = {
    let mut priors = [[[0; 10]; 4]; 10];
    priors[0][0][0] = 200;
    priors[9][3][9] = 7;
    priors
};

const PRIORS: Priors = &[("thing", "single", "mood", PRIOR)];

#[test]
fn a_schemas_hash_is_as_documented() {
    let mut schema = Schema::new();
    let parts = [
        schema.add_component::<Every>().unwrap(),
        schema.add_component::<Single>().unwrap(),
    ];
    schema.add_kind("thing", &parts).unwrap();
    schema.add_kind("mood", &parts[1..]).unwrap();
    let schema = schema.with_priors(PRIORS);
    let bytes = schema.canonical_bytes();
    assert_eq!(schema.hash(), xxh3_64(&bytes));
    hold(&[
        ("schema, its bytes", &bytes),
        ("schema, its hash", &schema.hash().to_le_bytes()),
    ]);
}

#[test]
fn the_sessions_messages_are_as_documented() {
    let entity = ReportedEntity {
        slot: 3,
        generation: 4,
        own: true,
        tick: 8,
        fields: vec![1, 2, 300],
    };
    let report = MismatchReport {
        tick: 9,
        entities: vec![entity],
    };
    hold(&[
        (
            "hello of a schema of hash 4",
            &encode(&ClientMessage::Hello { schema: 4 }),
        ),
        ("resync", &encode(&ClientMessage::Resync)),
        (
            "mismatch at tick 9, one entity",
            &encode(&ClientMessage::Mismatch(report)),
        ),
        (
            "event at tick 9, bytes 1 2 3",
            &encode(&ServerMessage::Event {
                tick: 9,
                data: vec![1, 2, 3],
            }),
        ),
    ]);
}
