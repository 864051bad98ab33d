//! Maxima of sockets and of QUIC connections with their TLS sessions.

use std::time::Duration;

use truetick_netcode::limits::{CHANNEL_QUEUE_BYTES, CHANNEL_WINDOW_BYTES};

/// Receive buffer requested from the kernel, in bytes. The kernel's default holds about 256 small
/// datagrams, one burst of commands from 256 clients.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Shortest interval between two log lines about errors of one socket; all errors are counted.
pub const SOCKET_ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of batches that wait for QUIC's thread, with [`QUIC_TRANSMIT_BYTES`] per transmit: half a
/// second of 1,000 clients at 1 kB per tick. A batch that does not fit is dropped whole.
pub const QUIC_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes that a transmit counts for in that queue in addition to its contents.
pub const QUIC_TRANSMIT_BYTES: usize = 128;

/// Bytes of frames that wait to be sent on one QUIC connection; a further frame ends the
/// connection. A session has at most one window of [`CHANNEL_WINDOW_BYTES`] in flight, unless its
/// client acknowledges what it never received.
pub const UNSENT_FRAME_BYTES: usize = 4 * CHANNEL_QUEUE_BYTES;

/// Bytes of frames that wait to be sent on all connections of one endpoint together. Beyond it, a
/// connection that has more than one window waiting and gets another frame is closed.
pub const ALL_UNSENT_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of frames received on one QUIC connection that wait for the application. Beyond it, the
/// peer is held back.
pub const UNREAD_FRAME_BYTES: usize = CHANNEL_WINDOW_BYTES;

/// TLS sessions that one QUIC connection may leave for later resumption: rustls issues two.
pub const TLS_SESSIONS_PER_CONNECTION: usize = 2;

/// Longest TLS session that is kept, in bytes. This library's sessions have about 200.
pub const TLS_SESSION_BYTES: usize = 2_048;
