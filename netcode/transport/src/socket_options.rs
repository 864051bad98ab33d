//! Options of sockets before their use.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::SOCKET_BUFFER_BYTES;

/// Binds a non-blocking UDP socket to `address` (port 0 for any). The kernel may grant smaller
/// buffers than [`SOCKET_BUFFER_BYTES`]. A socket bound to `[::]` also serves IPv4.
pub(super) fn bind_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    ignore_path_mtu(&socket, address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Makes the kernel ignore the path MTU in ICMP messages, because they can be forged: one message
/// would fragment datagrams of up to 1,200 bytes into pieces of 552 bytes for ten minutes.
///
/// `IP_PMTUDISC_OMIT` is the right value. `PROBE` ignores ICMP as well but sets "don't fragment",
/// so a path with a small MTU would carry nothing. `INTERFACE` refuses to send what exceeds an
/// interface's small MTU. With `OMIT` the kernel fragments a datagram only if its own interface has
/// a small MTU, and routers may fragment IPv4. IPv6 needs no fragmentation: every link carries
/// 1,280 bytes.
#[cfg(target_os = "linux")]
fn ignore_path_mtu(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    if address.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT)?;
    }
    // An IPv6 socket may send to mapped IPv4 addresses. On one that may not, this has no effect.
    sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn ignore_path_mtu(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Ok(())
}
