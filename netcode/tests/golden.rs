//! Holds `PROTOCOL.md`'s golden vectors against the code.

use std::net::SocketAddr;

use truetick_netcode::bits::BitWriter;
use truetick_netcode::connection::{Connection, DisconnectReason, disconnect_datagram};
use truetick_netcode::handshake::{ClientHandshake, Cookies, JoinRequest};
use truetick_netcode::messages::Body;
use truetick_netcode::packet::{self, PROTOCOL_KEY, PacketKind};
use truetick_netcode::time::Timestamp;

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The vector in the table's row that starts with `what`; runs of zero bytes are written as `00*N`.
fn vector(what: &str) -> String {
    let row = PROTOCOL.lines().find(|line| line.starts_with(&format!("| {what}"))).expect(what);
    let text = row.split('`').nth(1).expect("a vector between backticks");
    text.split_whitespace()
        .map(|part| match part.strip_prefix("00*") {
            Some(count) => "00".repeat(count.parse().expect("a count")),
            None => part.to_string(),
        })
        .collect()
}

#[test]
fn the_handshakes_bytes_are_as_documented() {
    let join = JoinRequest { nonce: 1, room: 3, schema: 4 };
    let mut client = ClientHandshake::new(join, Timestamp::default());
    let request = client.poll(Timestamp::default()).unwrap();
    assert_eq!(hex(&request), vector("request"));
    let mut writer = BitWriter::new();
    packet::begin(&mut writer, PacketKind::Challenge, false);
    writer.write_u64(1);
    writer.write_u64(2);
    packet::seal(&mut writer, PROTOCOL_KEY);
    client.receive(writer.bytes(), Timestamp::default()).unwrap();
    let response = client.poll(Timestamp::default()).unwrap();
    assert_eq!(hex(&response), vector("response"));
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(Cookies::new((1, 2)).check(&response, from, Timestamp::default()).is_err());
}

#[test]
fn a_sessions_bytes_are_as_documented() {
    let mut connection = Connection::new(9, Timestamp::default());
    let mut writer = BitWriter::new();
    for _ in 0..=5 {
        connection.begin(&mut writer, Timestamp::default(), true);
        writer.write(Body::Empty as u32, Body::BITS);
        connection.finish(&mut writer, Timestamp::default());
    }
    assert_eq!(hex(writer.bytes()), vector("payload 5"));
    assert_eq!(hex(&disconnect_datagram(9, DisconnectReason::ServerStopping)), vector("disconnect"));
}
