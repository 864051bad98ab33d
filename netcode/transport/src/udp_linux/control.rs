//! Addresses and control messages of datagrams in the kernel's format.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, RecvMsg, SockaddrStorage};

/// A source address of this host in the kernel's format.
pub(super) enum Source {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Source {
    /// Creates the source `by` for datagrams to `to`. An IPv6 socket takes IPv4 addresses in their
    /// mapped form.
    pub(super) fn new(by: IpAddr, to: SocketAddr) -> Self {
        match (by, to) {
            (IpAddr::V4(by), SocketAddr::V4(_)) => {
                let spec_dst = in_addr {
                    s_addr: u32::from_ne_bytes(by.octets()),
                };
                Self::V4(in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: spec_dst,
                    ipi_addr: in_addr { s_addr: 0 },
                })
            }
            (by, to) => {
                let by = match by {
                    IpAddr::V4(by) => by.to_ipv6_mapped(),
                    IpAddr::V6(by) => by,
                };
                let link = match to {
                    SocketAddr::V6(to) if by.is_unicast_link_local() => to.scope_id(),
                    _ => 0,
                };
                let address = in6_addr {
                    s6_addr: by.octets(),
                };
                Self::V6(in6_pktinfo {
                    ipi6_addr: address,
                    ipi6_ifindex: link,
                })
            }
        }
    }

    pub(super) fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

/// The kernel's control messages of one datagram.
#[derive(Default)]
pub(super) struct Control {
    /// Receive timestamp, in nanoseconds since 1970.
    pub stamp: Option<u64>,
    /// Number of datagrams dropped so far.
    pub drops: Option<u32>,
    /// The address of this host that the datagram was sent to; `None` for a multicast address.
    pub to: Option<IpAddr>,
}

impl Control {
    /// Reads the control messages. Returns none if they exceeded their space; the datagram itself
    /// is complete.
    pub(super) fn read(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Self {
        let mut this = Self::default();
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => {
                    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
                    this.stamp = Some(
                        seconds
                            .saturating_mul(1_000_000_000)
                            .saturating_add(time.tv_nsec() as u64),
                    );
                }
                ControlMessageOwned::RxqOvfl(count) => this.drops = Some(count),
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    this.to = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    this.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        this.to = this
            .to
            .filter(|to| !to.is_multicast() && !to.is_unspecified());
        this
    }
}

/// Returns the address that a datagram came from.
pub(super) fn address(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<SocketAddr> {
    let address = message.address.as_ref()?;
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
    })
}
