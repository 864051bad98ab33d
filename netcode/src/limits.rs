//! Every maximum in one place: name, value, reason.
//!
//! Nothing that comes from the wire makes a queue, window, ring, loop or string grow past these.

use std::time::Duration;

/// Largest datagram we send, in bytes: fits every path with an IPv6 minimum MTU of 1,280.
pub const DATAGRAM_BYTES: usize = 1_200;

/// Largest datagram we take: the standard's longest packet.
pub const LONGEST_DATAGRAM: usize = crate::session::packet::PACKET_BYTES;

/// Largest payload that we send in a session: with prefix, number and tag it is a datagram.
pub const PAYLOAD_BYTES: usize = DATAGRAM_BYTES - crate::session::packet::OVERHEAD_BYTES;

/// A connection that carries only smaller payloads is of no use: a packet of state holds a unit
/// with its headers.
pub const SMALLEST_PAYLOAD: usize = 1_100;

/// How many packets back an acknowledgement reaches: at 2 packets a tick and 60 Hz, half a second
/// of silence in the other direction.
pub const ACK_WINDOW: u64 = 64;

/// How many packets back a repeated one is recognised; older ones are dropped unread. As the
/// standard advises.
pub const REPLAY_WINDOW: u64 = 256;

/// The same for the numbers under which a session acknowledges, which are a session's own on every
/// transport.
pub const CAME_WINDOW: u64 = 128;

/// A packet counts as lost once one sent this many later is acknowledged (RFC 9002, section 6.1.1).
pub const REORDER_PACKETS: u64 = 3;

/// Silence after which a session's client counts as gone, unless its token says otherwise.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Something is sent at least this often, so that silence means trouble: 10 Hz, as the standard
/// advises.
pub const KEEP_ALIVE: Duration = Duration::from_millis(100);

/// First pause between two requests of a client; it doubles from there, each time drawn anew below
/// it.
pub const REQUEST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between two requests.
pub const LONGEST_REQUEST_PAUSE: Duration = Duration::from_secs(1);

/// Pause between two responses to a challenge: the server is known to be there.
pub const RESPONSE_PAUSE: Duration = Duration::from_millis(100);

/// A connection that has not led to a session in this time is given up for another: its client's
/// address may have changed before the handshake was confirmed, and QUIC takes that only later (RFC
/// 9000, section 9).
pub const CONNECT_TIME: Duration = Duration::from_secs(3);

/// An acknowledgement waits at most this long for a packet to ride on.
pub const ACK_DELAY: Duration = Duration::from_millis(30);

/// Of so many packets' numbers about one is left out, to find out who acknowledges what never came.
pub const SKIP_ONE_IN: u64 = 128;

/// Silence after which a client begins to resume its session: several snapshots and keep-alives are
/// missing.
pub const SILENCE: Duration = Duration::from_millis(250);

/// For so long a client tries to resume a session at a server that does not answer.
pub const RESUME_TIME: Duration = Duration::from_secs(60);

/// A client whose ticket was refused waits so long whether it hears its server again after all.
pub const REFUSED_TIME: Duration = Duration::from_millis(250);

/// A client must say what it is within this time.
pub const HELLO_TIME: Duration = Duration::from_secs(5);

/// A farewell is said this often, in case it is lost, with [`DISCONNECT_COPY_INTERVAL`] between.
pub const DISCONNECT_COPIES: u32 = 3;

/// Pause between two farewells: longer than most bursts of loss.
pub const DISCONNECT_COPY_INTERVAL: Duration = Duration::from_millis(100);

/// A client that was told to move is told this often, with [`DRAIN_PAUSE`] between.
pub const DRAIN_TELLINGS: u32 = 3;

/// Pause between two tellings.
pub const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// Strikes after which a session ends. One is for genuine nonsense; what no honest peer sends is as
/// many at once.
pub const STRIKES: u32 = 8;

/// A strike is forgiven after this long.
pub const STRIKE_TIME: Duration = Duration::from_secs(10);

/// Copies of the packet that ends a session: one of them comes through.
pub const DISCONNECT_PACKETS: usize = 3;

/// Sessions of one server, those that are parked included.
pub const SESSIONS: usize = 4_096;

/// Attempts to open a session that a server remembers.
pub const HALF_OPEN: usize = 8_192;

/// The same for one neighbourhood: an IPv4 address or an IPv6 prefix of 64 bits.
pub const HALF_OPEN_PER_RATE_LIMIT_KEY: usize = 1_024;

/// Connections that carry no session yet; one more is closed.
pub const WAITING_CONNECTIONS: usize = 4_096;

/// Tickets with which one session is being resumed at once: more displace the oldest. Copies of one
/// ticket count once.
pub const ATTEMPTS_TO_RESUME: usize = 8;

/// An attempt to open a session is displaced by others only when it is as old as this: longer than
/// most round trips.
pub const ATTEMPT_AGE: Duration = Duration::from_secs(1);

/// For so long a token that joins is answered only at the address that used it first. Then others
/// are answered, too: whoever copied the request and sent it first must not keep its owner out.
pub const TOKEN_BINDING: Duration = Duration::from_millis(100);

/// A challenge is taken for so long: several of the longest round trips. A client asks for another
/// once a second.
pub const CHALLENGE_TIME: Duration = Duration::from_secs(5);

/// Clients that lost their session to another of their user and are being told; one more is
/// disconnected without a reason.
pub const DEPARTING: usize = 1_024;

/// A client that lost its session to another of its user is disconnected after this long: it was
/// told by then.
pub const DEPARTING_TIME: Duration = Duration::from_secs(1);

/// A connection whose request was refused is closed after this long, if its client does not close
/// it.
pub const REFUSED_CONNECTION_TIME: Duration = Duration::from_secs(1);

/// An attempt to open a session is forgotten after this long, or after its token's time-out if that
/// is shorter.
pub const HALF_OPEN_TIME: Duration = Duration::from_secs(10);

/// Consumed tokens that a server remembers: 2,000 joins a second for the 30 s that tokens live.
pub const TOKEN_HISTORY: usize = 65_536;

/// Tokens that a server opens a second, and at once: at about 1.5 us each a fifth of a core at the
/// most.
pub const TOKENS_OPENED: (u32, u32) = (150_000, 3_000);

/// Neighbourhoods, or users, whose attempts are counted apart; more are refused until some have
/// been idle.
pub const COUNTED_APART: usize = 16_384;

/// Answers outside of sessions that wait to be sent; more are dropped. As many as datagrams are
/// taken before answers leave, so that a flood of requests takes nobody's answer away.
pub const REPLIES: usize = RECEIVE_BATCH * DRAIN_BATCHES;

/// By so much clocks on walls may differ: for tokens that are measured by them, and until a wall
/// counts as set.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// How often a session may be resumed: a second, and at once.
pub const RESUMES: (u32, u32) = (1, 8);

/// How long a resume ticket is good for. A new one is handed out when half of it has passed.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(600);

/// Bytes of one message piece inside a packet: larger messages are cut into slices of this size.
/// Half a packet, so that state always finds room beside it.
pub const SLICE_BYTES: usize = 512;

/// Slices in one message, hence messages of at most 32 KiB.
pub const MESSAGE_SLICES: usize = 64;

/// Largest message on a reliable channel, in bytes.
pub const MESSAGE_BYTES: usize = SLICE_BYTES * MESSAGE_SLICES;

/// Most bytes that a game event's message has beside the event's data: its kind, tick and length.
const EVENT_OVERHEAD_BYTES: usize = 16;

/// Most data of a game event on a reliable channel, in bytes.
pub const EVENT_BYTES: usize = MESSAGE_BYTES - EVENT_OVERHEAD_BYTES;

/// Most data of a game event on the unreliable channel, in bytes.
pub const UNRELIABLE_EVENT_BYTES: usize = SLICE_BYTES - EVENT_OVERHEAD_BYTES;

/// Largest frame on a connection: a message with its kind and channel.
pub const FRAME_BYTES: usize = MESSAGE_BYTES + 2;

/// What a reliable message counts for in windows and queues beside its bytes: its bookkeeping on
/// either side.
pub const MESSAGE_COST: usize = 64;

/// Bytes of messages in flight per reliable channel, or on a connection's stream, each with
/// [`MESSAGE_COST`]. Covers 600 messages of 64 bytes a second for 3 s: a round trip of 1 s, and two
/// more to repair losses. The receiver buffers no more.
pub const CHANNEL_WINDOW_BYTES: usize = 256 * 1024;

/// Messages in flight per reliable channel: as many as have a place in [`CHANNEL_WINDOW_BYTES`] if
/// they are empty.
pub const CHANNEL_WINDOW: u16 = (CHANNEL_WINDOW_BYTES / MESSAGE_COST) as u16;

/// Sliced messages of one reliable channel that are on their way at once; a receiver puts no more
/// together.
pub const ASSEMBLIES: usize = 4;

/// Bytes that wait in one reliable channel or are in flight, each message with [`MESSAGE_COST`];
/// more ends the session.
pub const CHANNEL_QUEUE_BYTES: usize = 1024 * 1024;

/// Messages that wait in one reliable channel or are in flight, which follows from
/// [`CHANNEL_QUEUE_BYTES`].
pub const CHANNEL_QUEUE: usize = CHANNEL_QUEUE_BYTES / MESSAGE_COST;

/// Unreliable messages, or messages of a connection's stream, that came and wait for the caller,
/// who takes them packet by packet and frame by frame.
pub const DELIVERED_MESSAGES: usize = MESSAGES_PER_PACKET * 2;

/// Bytes of events that a client's application has not polled, each with [`MESSAGE_COST`]; more
/// ends the session.
pub const UNPOLLED_EVENT_BYTES: usize = CHANNEL_QUEUE_BYTES;

/// Unreliable messages that wait for the next packet; the oldest makes room.
pub const UNRELIABLE_QUEUE: usize = 32;

/// Bytes of messages that one packet carries beside state.
pub const MESSAGE_BYTES_PER_PACKET: usize = 560;

/// Where there is no state messages have all of a packet but this, for the header and the body's
/// tag.
pub const BESIDE_MESSAGES: usize = 32;

/// Packets of messages that one client is sent at once where there is no state.
pub const MESSAGE_PACKETS: usize = 8;

/// Messages that one packet carries.
pub const MESSAGES_PER_PACKET: usize = 32;

/// Entities alive at once in a room: an id's slot has 14 bits on the wire.
pub const ENTITIES: usize = 1 << 14;

/// Blocks of 64 slots.
pub const BLOCKS: usize = ENTITIES / crate::replication::block_delta::BLOCK;

/// Most bytes of a block unit: a unit that would be longer is cut in two.
pub const UNIT_BYTES: usize = 1_000;

/// Fields of one entity, all components together: bounds its size on the wire.
pub const FIELDS_PER_ENTITY: usize = 40;

/// Components in a schema.
pub const COMPONENTS: usize = 64;

/// Entity kinds in a schema: a kind has 5 bits on the wire.
pub const KINDS: usize = 32;

/// Largest encoded entity in bytes, in the least likely case: fits into a packet beside its header.
pub const ENTITY_BYTES: usize = 800;

/// Ticks for which a superseded version stays a possible baseline: about two seconds at 60 Hz,
/// which covers the longest round trip worth playing on.
pub const RING_TICKS: u32 = 128;

/// What rests is renewed at least this often, in ticks (2.3 hours at 128 Hz): a server refers to no
/// baseline that is older than four times this, so that the signed distance of two ticks which are
/// compared is right however long a world runs.
pub const BASELINE_TICKS: u32 = 1 << 20;

/// Versions of one entity that a client keeps: every one the server may still refer to
/// ([`RING_TICKS`] and the one in force before them), and some for reordering.
pub const CLIENT_VERSIONS: usize = RING_TICKS as usize + 32;

/// Ticks back for which a client keeps states to show before it shows any; then it keeps what is
/// newer than the time shown.
pub const INTERPOLATION_TICKS: u32 = 40;

/// Entities that are gone but still drawn, because the time shown has not come to their removal;
/// more vanish at once.
pub const LEAVING_ENTITIES: usize = 1_024;

/// Arrivals by which a client chooses its display delay: four seconds at 128 Hz.
pub const DELAY_SAMPLES: usize = 512;

/// Packets into which one tick's snapshot for one client is cut at most: the index has 4 bits.
pub const SNAPSHOT_PACKETS: usize = 16;

/// Most bytes of one tick's snapshot for one client: fits into [`SNAPSHOT_PACKETS`] with room to
/// spare for headers and for entities that do not fill a packet's end.
pub const SNAPSHOT_BYTES: usize = 8_000;

/// Removed entities named in one packet.
pub const REMOVALS_PER_PACKET: usize = 16;

/// Removed entities of which a client has not acknowledged that they are gone; one more ends the
/// session.
pub const REMOVALS: usize = 4_096;

/// Deferred entities named in one packet; past it the packet says "any".
pub const DEFERRED_PER_PACKET: usize = 32;

/// Late commands of which one snapshot tells.
pub const LATE_COMMANDS: usize = 4;

/// Commands in one packet: a third of a second of redundancy at 96 Hz.
pub const COMMANDS_PER_PACKET: usize = 32;

/// How long before its slot a command may come.
pub const COMMAND_TIME_AHEAD: Duration = Duration::from_secs(2);

/// For how long after its slot a late command is told from a repeated one.
pub const COMMAND_TIME_BEHIND: Duration = Duration::from_secs(1);

/// Commands and predictions that a client keeps: those of three seconds at 128 Hz.
pub const PREDICTION_TICKS: usize = 384;

/// A client that gave no command for longer than this predicts from the server's next state on: its
/// session has timed out.
pub const PREDICTED_GAP: Duration = SESSION_TIMEOUT;

/// A missing command is replaced by the last one for this long, or for a round trip if that is
/// longer (up to [`LONGEST_REPEAT`]); then by the neutral one.
pub const REPEAT: Duration = Duration::from_millis(150);

/// See [`REPEAT`].
pub const LONGEST_REPEAT: Duration = Duration::from_millis(500);

/// Packets that one client may send on average in the time of a tick, by when they came, with a
/// burst of 32 ticks' worth.
pub const PACKETS_PER_TICK: u32 = 2;

/// Genuine packets of one session that are taken on datagrams, keep-alives among them: a second,
/// and at once. Twice what [`PACKETS_PER_TICK`] allows at the highest tick rate; past it nothing is
/// opened until the budget has grown.
pub const SESSION_PACKETS: (u32, u32) = (512, 1_024);

/// Bytes of frames that one client may send: a second, and at once. At once it may say again what
/// was in flight when its connection was lost.
pub const SESSION_FRAME_BYTES: (u32, u32) = (
    128 * PACKETS_PER_TICK * PAYLOAD_BYTES as u32,
    (CHANNEL_WINDOW_BYTES + 4 * FRAME_BYTES) as u32,
);

/// Longest `Hello` and `Resync` of a client, in bytes.
pub const SHORT_MESSAGE_BYTES: usize = 16;

/// Longest report of a packet that decoded to something else than the server has, in bytes.
pub const REPORT_BYTES: usize = 12 * 1024;

/// Bytes of state that are left beside a packet of messages that is sent because many wait.
pub const STATE_BYTES_BESIDE_MESSAGES: usize = 400;

/// Ticks that a late server runs back to back before its time line slips.
pub const CATCH_UP_TICKS: u32 = 4;

/// Datagrams that one link simulator holds; the next is dropped as by a full queue.
pub const LINK_QUEUE: usize = 4_096;

/// Datagrams taken from a socket before others get their turn.
pub const RECEIVE_BATCH: usize = 64;

/// Batches taken from a socket in one go before the tick gets its turn, however many datagrams
/// come: 16,384 datagrams, what 1,000 clients send in a quarter of a second. Fewer would let a
/// queue stand for as long as the server is late.
pub const DRAIN_BATCHES: usize = 256;

/// A client whose commands all came too late for this long is
/// [`crate::client::state::ClientState::Unheard`].
pub const UNHEARD_TIME: Duration = Duration::from_secs(3);

/// Entities named in one report of a packet that decoded to something else than the server has.
pub const REPORTED_ENTITIES: usize = 64;

/// A client reports such a packet at most this often; the server reads no more.
pub const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// Reports of such packets that a server looks into, of all clients together: a second, and at
/// once. Others are counted.
pub const REPORTS_EXPLAINED: (u32, u32) = (1, 8);

/// Packets in a row that build on what the client does not hold, after which it asks for everything
/// whole.
pub const UNUSABLE_PACKETS: u32 = 32;

/// HTTP connections of one listener at once; see also the process's limit of open files.
pub const HTTP_CONNECTIONS: usize = 512;

/// Those from one address (or IPv6 prefix of 64 bits): enough for a backend's pool.
pub const HTTP_CONNECTIONS_PER_ADDRESS: usize = 128;

/// An HTTP request's head must have come in this time after the connection began, or after the
/// answer before.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(5);

/// An HTTP request's body must have come, and its answer been made, in this time.
pub const HTTP_REQUEST_TIME: Duration = Duration::from_secs(5);

/// An HTTP connection is closed after this long, whatever it does.
pub const HTTP_CONNECTION_TIME: Duration = Duration::from_secs(60);

/// Bytes that an HTTP connection buffers each way: the least that hyper takes, enough for any head
/// that is asked for.
pub const HTTP_BUFFER_BYTES: usize = 8 * 1_024;

/// Receive buffer asked of the kernel, in bytes: the default holds some 256 small datagrams, one
/// burst of commands from 256 clients.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Errors of one socket are logged at most once in this time; all are counted.
pub const SOCKET_ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of whole batches that wait for QUIC's thread, with [`QUIC_PARCEL_BYTES`] for each parcel.
/// A batch that does not fit is dropped. Half a second of 1,000 clients at 1 kB a tick.
pub const QUIC_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// What a parcel in that queue costs beside its contents.
pub const QUIC_PARCEL_BYTES: usize = 128;

/// Bytes of frames that wait to be sent on one QUIC connection; more ends the connection. A session
/// has one window of [`CHANNEL_WINDOW_BYTES`] on its way at the most, unless its client confirms
/// what it never received.
pub const UNSENT_FRAME_BYTES: usize = 4 * CHANNEL_QUEUE_BYTES;

/// Bytes of frames that wait to be sent on all connections of one end together. Beyond that a
/// connection that has more than one window waiting and gets another frame ends.
pub const ALL_UNSENT_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of frames that were received on one QUIC connection and wait for the room. The peer waits
/// beyond that.
pub const UNREAD_FRAME_BYTES: usize = CHANNEL_WINDOW_BYTES;

/// TLS sessions that one QUIC connection may leave for a next time: rustls hands out two.
pub const TLS_SESSIONS_PER_CONNECTION: usize = 2;

/// Longest TLS session that is kept, in bytes. Ours have about 200.
pub const TLS_SESSION_BYTES: usize = 2_048;
