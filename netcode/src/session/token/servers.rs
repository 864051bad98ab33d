//! The list of servers in a connect token, in both of its parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::bytes::{Reader, Writer};
use super::TOKEN_SERVERS;

pub(super) fn write_servers(writer: &mut Writer<'_>, servers: &[SocketAddr]) {
    assert!(
        (1..=TOKEN_SERVERS).contains(&servers.len()),
        "a token names 1 to {TOKEN_SERVERS} servers"
    );
    writer.u32(servers.len() as u32);
    for server in servers {
        match server.ip() {
            IpAddr::V4(ip) => {
                writer.bytes(&[1]);
                writer.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                writer.bytes(&[2]);
                ip.segments().iter().for_each(|part| writer.u16(*part));
            }
        }
        writer.u16(server.port());
    }
}

pub(super) fn read_servers(reader: &mut Reader<'_>) -> Option<Vec<SocketAddr>> {
    let count = reader.u32()? as usize;
    if !(1..=TOKEN_SERVERS).contains(&count) {
        return None;
    }
    let mut server = || {
        let ip: IpAddr = match reader.array::<1>()? {
            [1] => Ipv4Addr::from(reader.array::<4>()?).into(),
            [2] => {
                let mut parts = [0; 8];
                for part in &mut parts {
                    *part = reader.u16()?;
                }
                Ipv6Addr::from(parts).into()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, reader.u16()?))
    };
    (0..count).map(|_| server()).collect()
}
