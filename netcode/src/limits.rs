//! Every maximum of the library: its name, value and reason.
//!
//! Nothing received from the network makes a queue, window, ring, loop or string grow beyond these
//! limits. A pair `(u32, u32)` is a rate: the average per second and the burst.

use std::time::Duration;

/// Largest datagram that is sent, in bytes: fits every path with the IPv6 minimum MTU of 1,280
/// bytes.
pub const DATAGRAM_BYTES: usize = 1_200;

/// Largest datagram that is accepted, in bytes: the netcode standard's longest packet.
pub const LONGEST_DATAGRAM: usize = crate::session::packet::PACKET_BYTES;

/// Largest payload sent in a session, in bytes: with prefix, number and tag it fills a datagram of
/// [`DATAGRAM_BYTES`].
pub const PAYLOAD_BYTES: usize = DATAGRAM_BYTES - crate::session::packet::OVERHEAD_BYTES;

/// Smallest payload, in bytes, that a connection must carry to be of use: a packet of state must
/// hold one block delta with its headers.
pub const SMALLEST_PAYLOAD: usize = 1_100;

/// Number of packets that one acknowledgement covers: at 2 packets per tick and 60 Hz, half a
/// second of silence in the other direction.
pub const ACK_WINDOW: u64 = 64;

/// Number of packets back within which a repeated packet is recognised; older ones are dropped
/// unread. The value is the netcode standard's recommendation.
pub const REPLAY_WINDOW: u64 = 256;

/// Number of packets back within which a repeated payload is recognised by the session's own
/// sequence number, on every transport.
pub const DUPLICATE_WINDOW: u64 = 128;

/// A packet counts as lost once a packet sent this many later is acknowledged (RFC 9002, section
/// 6.1.1).
pub const REORDER_PACKETS: u64 = 3;

/// Silence after which a session's client counts as gone, unless its token sets another timeout.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest interval without sending a packet, so that silence indicates a fault: 10 Hz, the netcode
/// standard's recommendation.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(100);

/// First pause between two requests of a client. The upper bound doubles with each request, and
/// each pause is random below it.
pub(crate) const REQUEST_INTERVAL: Duration = Duration::from_millis(100);

/// Longest pause between two requests of a client.
pub(crate) const LONGEST_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// Pause between two responses to a challenge. It does not grow, because the server is known to be
/// reachable.
pub(crate) const RESPONSE_INTERVAL: Duration = Duration::from_millis(100);

/// Time after which a connection that has not led to a session is replaced by another. The client's
/// address may have changed before the handshake was confirmed, and QUIC migrates only after that
/// (RFC 9000, section 9).
pub const CONNECT_TIME: Duration = Duration::from_secs(3);

/// Longest time that an acknowledgement waits for a packet to carry it.
pub const ACK_DELAY: Duration = Duration::from_millis(30);

/// About one in this many sequence numbers is skipped, to detect a peer that acknowledges packets
/// it never received.
pub(crate) const SKIP_ONE_IN: u64 = 128;

/// Silence after which a client begins to resume its session: several snapshots and keep-alives are
/// missing by then.
pub const SILENCE: Duration = Duration::from_millis(250);

/// Time for which a client tries to resume a session at a server that does not answer.
pub(crate) const RESUME_TIME: Duration = Duration::from_secs(60);

/// Time for which a client whose ticket was refused waits for the old session to revive.
pub(crate) const REFUSED_TIME: Duration = Duration::from_millis(250);

/// Time within which a client must send its `Hello`.
pub const HELLO_TIME: Duration = Duration::from_secs(5);

/// Number of copies of a disconnect notice, against loss, sent [`DISCONNECT_COPY_INTERVAL`] apart.
pub const DISCONNECT_COPIES: u32 = 3;

/// Interval between two copies of a disconnect notice: longer than most bursts of loss.
pub const DISCONNECT_COPY_INTERVAL: Duration = Duration::from_millis(100);

/// Number of copies of a drain order that each client receives, sent [`DRAIN_INTERVAL`] apart.
pub const DRAIN_TELLINGS: u32 = 3;

/// Interval between two copies of a drain order.
pub const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Strikes that end a session. A genuine but malformed packet is one strike; a packet that no
/// honest peer sends is this many at once.
pub const STRIKES: u32 = 8;

/// Time after which one strike is forgiven.
pub const STRIKE_TIME: Duration = Duration::from_secs(10);

/// Copies of the standard's disconnect packet that end a session, against loss.
pub const DISCONNECT_PACKETS: usize = 3;

/// Sessions of one server, parked ones included.
pub const SESSIONS: usize = 4_096;

/// Half-open attempts to open a session that a server remembers.
pub const HALF_OPEN: usize = 8_192;

/// Half-open attempts of one rate-limit key: an IPv4 address or an IPv6 prefix of 64 bits.
pub(crate) const HALF_OPEN_PER_RATE_LIMIT_KEY: usize = 1_024;

/// Connections that carry no session yet; a further one is closed.
pub(crate) const WAITING_CONNECTIONS: usize = 4_096;

/// Tickets with which one session is being resumed at once; a further one displaces the oldest.
/// Copies of one ticket count once.
pub(crate) const ATTEMPTS_TO_RESUME: usize = 8;

/// Age from which other attempts may displace an attempt to open a session: longer than most round
/// trips.
pub const ATTEMPT_AGE: Duration = Duration::from_secs(1);

/// Time for which a joining token is answered only at the address that used it first. Then other
/// addresses are answered too, so that an attacker who copied the request and sent it first cannot
/// lock the token's owner out.
pub const TOKEN_BINDING: Duration = Duration::from_millis(100);

/// Lifetime of a challenge: several of the longest round trips. A client asks for another once a
/// second.
pub const CHALLENGE_TIME: Duration = Duration::from_secs(5);

/// Clients that lost their session to another client of their user and are being notified; a
/// further one is disconnected without a reason.
pub(crate) const DEPARTING: usize = 1_024;

/// Time after which a client that lost its session to another client of its user is disconnected.
/// Its notice has been sent by then.
pub const DEPARTING_TIME: Duration = Duration::from_secs(1);

/// Time after which a connection whose request was refused is closed, unless its client closes it
/// before.
pub(crate) const REFUSED_CONNECTION_TIME: Duration = Duration::from_secs(1);

/// Time after which an attempt to open a session is forgotten, unless its token sets a shorter
/// timeout.
pub(crate) const HALF_OPEN_TIME: Duration = Duration::from_secs(10);

/// Consumed tokens that a server remembers: 2,000 joins a second for the 30 s that a token lives.
pub const TOKEN_HISTORY: usize = 65_536;

/// Tokens that a server opens, per second and as a burst: at about 2 us for each forged token, at
/// most a third of a core.
pub(crate) const TOKENS_OPENED: (u32, u32) = (150_000, 3_000);

/// Rate-limit keys, or users, whose attempts are counted separately. Further ones are refused until
/// some have been idle.
pub const COUNTED_APART: usize = 16_384;

/// Datagrams received from one socket before the other sockets get their turn.
pub const RECEIVE_BATCH: usize = 64;

/// Batches received from a socket in one go before the tick gets its turn: 16,384 datagrams, which
/// 1,000 clients send in a quarter of a second. With fewer, a queue would persist for as long as
/// the server is late.
pub const DRAIN_BATCHES: usize = 256;

/// Answers outside of sessions that wait to be sent; further ones are dropped. As large as the
/// number of datagrams received before answers are sent, so that a flood of requests displaces no
/// other client's answer.
pub const REPLIES: usize = RECEIVE_BATCH * DRAIN_BATCHES;

/// Largest tolerated difference between wall clocks, both when tokens are checked and before a jump
/// of the clock counts as a change.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// Resumes of one session, per second and as a burst.
pub(crate) const RESUMES: (u32, u32) = (1, 8);

/// Lifetime of a resume ticket. The server issues a new one when half of it has passed.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(600);

/// Largest message piece in a packet, in bytes. Larger messages are cut into slices of this size:
/// half a packet, so that state always fits beside a slice.
pub const SLICE_BYTES: usize = 512;

/// Slices of one message, hence messages of at most 32 KiB.
pub(crate) const MESSAGE_SLICES: usize = 64;

/// Largest message on a reliable channel, in bytes.
pub const MESSAGE_BYTES: usize = SLICE_BYTES * MESSAGE_SLICES;

/// Most bytes that the message of a game event has beside the event's data: its kind, tick and
/// length.
const EVENT_OVERHEAD_BYTES: usize = 16;

/// Most data of a game event on a reliable channel, in bytes.
pub const EVENT_BYTES: usize = MESSAGE_BYTES - EVENT_OVERHEAD_BYTES;

/// Most data of a game event on the unreliable channel, in bytes.
pub const UNRELIABLE_EVENT_BYTES: usize = SLICE_BYTES - EVENT_OVERHEAD_BYTES;

/// Largest frame on a connection, in bytes: a message with its kind and channel.
pub const FRAME_BYTES: usize = MESSAGE_BYTES + 2;

/// Bytes that a reliable message counts for in windows and queues in addition to its contents: its
/// bookkeeping on either side.
pub const MESSAGE_COST: usize = 64;

/// Bytes of messages in flight per reliable channel, or on a connection's stream, each with
/// [`MESSAGE_COST`]. Covers 600 messages of 64 bytes a second for 3 s: one round trip of 1 s and
/// two more to repair losses. The receiver buffers no more.
pub const CHANNEL_WINDOW_BYTES: usize = 256 * 1024;

/// Messages in flight per reliable channel: as many empty ones as fit into
/// [`CHANNEL_WINDOW_BYTES`].
pub(crate) const CHANNEL_WINDOW: u16 = (CHANNEL_WINDOW_BYTES / MESSAGE_COST) as u16;

/// Sliced messages of one reliable channel that are in flight at once; a receiver assembles no
/// more.
pub(crate) const ASSEMBLIES: usize = 4;

/// Bytes that wait in one reliable channel or are in flight, each message with [`MESSAGE_COST`]; a
/// further message ends the session.
pub const CHANNEL_QUEUE_BYTES: usize = 1024 * 1024;

/// Messages that wait in one reliable channel or are in flight; follows from
/// [`CHANNEL_QUEUE_BYTES`].
pub const CHANNEL_QUEUE: usize = CHANNEL_QUEUE_BYTES / MESSAGE_COST;

/// Received unreliable messages, or messages of a connection's stream, that wait for the caller,
/// which takes them after each packet and frame.
pub(crate) const DELIVERED_MESSAGES: usize = MESSAGES_PER_PACKET * 2;

/// Bytes of events that a client's application has not polled, each with [`MESSAGE_COST`]; a
/// further reliable event ends the session, a further unreliable one is dropped.
pub const UNPOLLED_EVENT_BYTES: usize = CHANNEL_QUEUE_BYTES;

/// Unreliable messages that wait for the next packet; a further one displaces the oldest.
pub(crate) const UNRELIABLE_QUEUE: usize = 32;

/// Bytes of messages that one packet carries beside state.
pub const MESSAGE_BYTES_PER_PACKET: usize = 560;

/// Bytes of a packet without state that its messages leave free, for the header and the body's tag.
pub const BESIDE_MESSAGES: usize = 32;

/// Packets of messages that one client receives at once in a room without state.
pub const MESSAGE_PACKETS: usize = 8;

/// Messages in one packet.
pub const MESSAGES_PER_PACKET: usize = 32;

/// Entities alive at once in a room: the slot of an id has 14 bits on the wire.
pub const ENTITIES: usize = 1 << 14;

/// Blocks of 64 slots in a room.
pub(crate) const BLOCKS: usize = ENTITIES / crate::replication::block_delta::BLOCK;

/// Largest encoded block, in bytes; a block that would be longer is split in two.
pub const DELTA_BYTES: usize = 1_000;

/// Fields of one entity, over all its components: bounds its size on the wire.
pub const FIELDS_PER_ENTITY: usize = 40;

/// Components in a schema.
pub const COMPONENTS: usize = 64;

/// Entity kinds in a schema: a kind has 5 bits on the wire.
pub const KINDS: usize = 32;

/// Largest encoded entity in bytes, in the least likely case: fits into a packet beside its header.
pub(crate) const ENTITY_BYTES: usize = 800;

/// Ticks for which a superseded state remains a possible baseline: about two seconds at 60 Hz,
/// which covers the longest round trip that is still playable.
pub const RING_TICKS: u32 = 128;

/// Longest interval, in ticks, between two renewals of an unchanged state (2.3 hours at 128 Hz). A
/// server refers to no baseline older than four times this, so the signed distance of two compared
/// ticks is correct however long a world runs.
pub const BASELINE_TICKS: u32 = 1 << 20;

/// States of one entity that a client keeps: all that the server may still refer to ([`RING_TICKS`]
/// and the one in force before them), and some for reordering.
pub const CLIENT_VERSIONS: usize = RING_TICKS as usize + 32;

/// Ticks back for which a client keeps states before it displays any; from then on it keeps those
/// newer than the displayed time.
pub const INTERPOLATION_TICKS: u32 = 40;

/// Removed entities that are still drawn, because the displayed time has not reached their removal;
/// further ones vanish at once.
pub const LEAVING_ENTITIES: usize = 1_024;

/// Arrival samples by which a client chooses its display delay: four seconds at 128 Hz.
pub const DELAY_SAMPLES: usize = 512;

/// Most packets of one tick's snapshot for one client: the packet's index has 4 bits.
pub const SNAPSHOT_PACKETS: usize = 16;

/// Most bytes of one tick's snapshot for one client: fits into [`SNAPSHOT_PACKETS`] with space for
/// headers and for packet ends that no entity fills.
pub const SNAPSHOT_BYTES: usize = 8_000;

/// Removed entities named in one packet.
pub const REMOVALS_PER_PACKET: usize = 16;

/// Removed entities whose removal a client has not acknowledged; a further one ends the session.
pub const REMOVALS: usize = 4_096;

/// Deferred entities named in one packet; if there are more, the packet encodes "any".
pub const DEFERRED_PER_PACKET: usize = 32;

/// Late commands reported in one snapshot.
pub const LATE_COMMANDS: usize = 4;

/// Commands in one packet: a third of a second of redundancy at 96 Hz.
pub const COMMANDS_PER_PACKET: usize = 32;

/// How long before its slot a command may arrive.
pub const COMMAND_TIME_AHEAD: Duration = Duration::from_secs(2);

/// How long after its slot a late command is distinguished from a repeated one.
pub const COMMAND_TIME_BEHIND: Duration = Duration::from_secs(1);

/// Commands and predictions that a client keeps: those of three seconds at 128 Hz.
pub(crate) const PREDICTION_TICKS: usize = 384;

/// Longest gap between two commands across which a client keeps its prediction. After a longer one
/// it predicts from the server's next state, because its session has timed out.
pub const PREDICTED_GAP: Duration = SESSION_TIMEOUT;

/// Time for which the last command replaces missing ones, or one round trip if that is longer (up
/// to [`LONGEST_REPEAT`]). Then the neutral command replaces them.
pub const REPEAT: Duration = Duration::from_millis(150);

/// Upper limit of the time for which the last command replaces missing ones; see [`REPEAT`].
pub const LONGEST_REPEAT: Duration = Duration::from_millis(500);

/// Packets that one client may send per tick on average, by arrival time, with a burst of 32 ticks'
/// worth.
pub const PACKETS_PER_TICK: u32 = 2;

/// Genuine packets of one session accepted as datagrams, keep-alives included, per second and as a
/// burst. Twice what [`PACKETS_PER_TICK`] allows at the highest tick rate. Beyond it no packet is
/// opened until the budget has recovered.
pub const SESSION_PACKETS: (u32, u32) = (512, 1_024);

/// Bytes of frames that one client may send, per second and as a burst. The burst covers a repeat
/// of all that was in flight when its connection was lost.
pub const SESSION_FRAME_BYTES: (u32, u32) = (
    128 * PACKETS_PER_TICK * PAYLOAD_BYTES as u32,
    (CHANNEL_WINDOW_BYTES + 4 * FRAME_BYTES) as u32,
);

/// Longest `Hello` and `Resync` of a client, in bytes.
pub(crate) const SHORT_MESSAGE_BYTES: usize = 16;

/// Longest mismatch report of a client, in bytes.
pub(crate) const REPORT_BYTES: usize = 12 * 1024;

/// Bytes of state that must remain beside a separate packet of messages, which is sent when many
/// wait.
pub const STATE_BYTES_BESIDE_MESSAGES: usize = 400;

/// Ticks that a late server runs back to back before it shifts its timeline.
pub const CATCH_UP_TICKS: u32 = 4;

/// Datagrams that one link simulator holds; a further one is dropped, as by a full queue.
pub(crate) const LINK_QUEUE: usize = 4_096;

/// Time after which a client whose commands were all late is
/// [`crate::client::state::ClientState::Unheard`].
pub const UNHEARD_TIME: Duration = Duration::from_secs(3);

/// Entities named in one mismatch report.
pub const REPORTED_ENTITIES: usize = 64;

/// Shortest interval between two mismatch reports of a client; the server reads no more.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Mismatch reports that a server examines, of all clients together, per second and as a burst.
/// Others are only counted.
pub const REPORTS_EXPLAINED: (u32, u32) = (1, 8);

/// Consecutive packets built on baselines that the client does not hold, after which it requests
/// every entity whole.
pub const UNUSABLE_PACKETS: u32 = 32;
