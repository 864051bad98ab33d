//! What is asked of a socket before it is used.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::SOCKET_BUFFER_BYTES;

/// A UDP socket bound to `address` (port 0 for any) that does not block. The kernel may grant
/// smaller buffers than [`SOCKET_BUFFER_BYTES`]. Bound to `[::]` it serves IPv4 as well.
pub(super) fn bind_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
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

/// Makes the kernel ignore what ICMP says of a path's MTU, since anyone can forge that: one such
/// message would cut datagrams of up to 1,200 bytes into fragments of 552 for ten minutes.
///
/// `IP_PMTUDISC_OMIT` rather than its neighbours: `PROBE` ignores ICMP as well but sets "don't
/// fragment", so that a path that really is narrow would carry nothing; `INTERFACE` refuses to send
/// what an interface with a small MTU cannot carry whole. With `OMIT` the kernel cuts a datagram
/// only where its own interface is too narrow, and routers may cut IPv4 on the way. IPv6 needs no
/// cutting: every link carries 1,280 bytes.
#[cfg(target_os = "linux")]
fn ignore_path_mtu(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    if address.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT)?;
    }
    // A socket of IPv6 may talk to mapped IPv4 addresses; where it may not, this does nothing.
    sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn ignore_path_mtu(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Ok(())
}
