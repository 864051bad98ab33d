// A spectator's session: takes in datagrams and frames, says what is to be sent. No clock and no sockets: times come as milliseconds.

import { WireError } from "./bits.js";
import { concat } from "./join.js";
import { Body, ReceiveWindow, readPayload, writeAnswer } from "./payload.js";
import { BaselineError, HashError } from "./snapshot.js";
import { World } from "./world.js";

/** What a frame is. */
const Frame = { ACCEPTED: 1, MESSAGE: 2, RECEIVED: 3, REFUSED: 4 };

/** The stream that the session's own messages take: ordered stream 0. */
const SESSION_CHANNEL = 1;

/** So many packets in a row that build on what is not held, and everything is asked for whole. */
const MOST_UNUSABLE = 32;

/** Arrivals that are kept for whoever draws. */
const MOST_ARRIVALS = 256;

/** Time between two such wishes at least, in milliseconds. */
const ASK_PAUSE = 500;

/** A server that says nothing for so long is gone: it speaks ten times a second. In milliseconds. */
const SILENCE = 5000;

/** Packets of ours whose time of sending is remembered. */
const MOST_SENT = 256;

/** Time between two answers at least, and at most, in milliseconds. */
const ANSWER_PAUSE = 12;
const KEEP_ALIVE = 80;

/** See the module. */
export class Session {
  /** `messages` are the encoded messages that a client sends: `hello`, `resync`. */
  constructor(schema, messages) {
    this.messages = messages;
    this.world = new World(schema);
    this.window = new ReceiveWindow();
    this.joined = false;
    /** Code of the disconnect notice that ended the session. */
    this.disconnectCode = undefined;
    /** Code of the denial by which the server refused the token. */
    this.denial = undefined;
    /** Smoothed round trip in milliseconds. */
    this.rtt = undefined;
    /** Of `snapshots` there is one for each tick, in one packet of state or several. */
    this.counts = { packets: 0, bytes: 0, snapshots: 0, messages: 0, overtaken: 0, errors: 0 };
    this.sent = new Map();
    this.next = 0;
    this.newestAt = 0;
    /** Ticks newer than all before, with the times of their first packets; whoever reads them empties it. */
    this.arrivals = [];
    this.skipped = 0;
    this.sentAt = 0;
    this.owesAnswer = false;
    this.unusable = 0;
    this.askedAt = -Infinity;
    this.heardAt = undefined;
    this.frames = [];
  }

  /** Takes in a frame of the stream. */
  takeFrame(frame) {
    this.counts.bytes += frame.length + 2;
    if (frame[0] === Frame.ACCEPTED) {
      this.joined = true;
      this.tell(this.messages.hello);
    } else if (frame[0] === Frame.MESSAGE) {
      this.counts.messages++;
      this.frames.push(receivedFrame(this.counts.messages));
    } else if (frame[0] === Frame.REFUSED && frame.length === 2) {
      this.denial = frame[1];
    } else if (frame[0] !== Frame.RECEIVED) {
      throw new WireError("a frame that no server sends");
    }
  }

  /** Whether nothing has come for so long that nothing will. */
  isSilent(now) {
    this.heardAt ??= now;
    return now - this.heardAt > SILENCE;
  }

  /** Takes in a datagram. What is wrong with it is counted, and it is not acknowledged. */
  takeDatagram(datagram, now) {
    this.heardAt = now;
    this.counts.bytes += datagram.length;
    // A single byte says no more than that the server is there.
    if (datagram.length === 1) return;
    this.counts.packets++;
    try {
      this.takePayload(datagram, now);
    } catch (error) {
      if (!this.note(error, now)) throw error;
    }
  }

  takePayload(datagram, now) {
    const { reader, sequence, acks, body } = readPayload(datagram, this.window.next, this.next);
    if (!this.window.isFresh(sequence)) return;
    if (sequence >= this.window.next) this.newestAt = now;
    this.window.note(sequence);
    this.owesAnswer = true;
    if (acks) this.measure(acks, now);
    if (body === Body.FAREWELL) {
      this.disconnectCode = reader.read(8);
    } else if (body === Body.SNAPSHOT) {
      const before = this.world.newest;
      const { last, tick, skipped } = this.world.take(reader);
      if (this.world.newest !== before) this.arrivals.push({ tick, at: now, skipped: skipped ?? this.skipped });
      if (this.arrivals.length > MOST_ARRIVALS) this.arrivals.shift();
      this.skipped = skipped ?? this.skipped;
      this.unusable = 0;
      if (last) this.counts.snapshots++;
    } else if (body === Body.EMPTY) {
      reader.finish();
    } else {
      throw new WireError("a body that no server sends");
    }
    this.window.accept(sequence);
  }

  measure({ newest, heldMs }, now) {
    const sentAt = this.sent.get(newest);
    if (sentAt === undefined) return;
    this.sent.delete(newest);
    const sample = Math.max(now - sentAt - heldMs, 0);
    this.rtt = this.rtt === undefined ? sample : this.rtt + (sample - this.rtt) / 8;
  }

  /** Counts an error of decoding; false if it is another. */
  note(error, now) {
    if (error instanceof BaselineError) {
      this.counts.overtaken++;
      if (++this.unusable % MOST_UNUSABLE === 0) this.askForAll(now);
      return true;
    }
    if (!(error instanceof WireError || error instanceof HashError)) return false;
    this.counts.errors++;
    if (error instanceof HashError) this.askForAll(now);
    return true;
  }

  /** What is held is in doubt: everything is to be sent whole, once for what is on its way meanwhile. */
  askForAll(now) {
    if (now - this.askedAt < Math.max(ASK_PAUSE, 2 * (this.rtt ?? 0))) return;
    this.askedAt = now;
    this.tell(this.messages.resync);
  }

  tell(message) {
    this.frames.push(concat(Uint8Array.of(Frame.MESSAGE, SESSION_CHANNEL), message));
  }

  /** The next frame that is to leave now. */
  pollFrame() {
    return this.frames.shift();
  }

  /** The next datagram that is to leave now: it acknowledges, and keeps the session alive. */
  pollDatagram(now) {
    const pause = now - this.sentAt;
    if (!this.joined || (pause < KEEP_ALIVE && !(this.owesAnswer && pause >= ANSWER_PAUSE))) return undefined;
    const answer = writeAnswer(this.next, this.window, now - this.newestAt);
    this.sent.set(this.next++, now);
    if (this.sent.size > MOST_SENT) this.sent.delete(this.sent.keys().next().value);
    [this.sentAt, this.owesAnswer] = [now, false];
    return answer;
  }
}

/** Tells how many messages have come. */
function receivedFrame(count) {
  const frame = new Uint8Array(9);
  frame[0] = Frame.RECEIVED;
  new DataView(frame.buffer).setBigUint64(1, BigInt(count), true);
  return frame;
}
