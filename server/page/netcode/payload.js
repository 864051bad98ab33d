// What each payload of a session begins with, and which packets came; PROTOCOL.md, "Payloads" and "Messages".

import { BitReader, BitWriter, WireError } from "./bits.js";

/** What follows the messages in a packet. */
export const Body = { EMPTY: 0, SNAPSHOT: 1, COMMANDS: 2, FAREWELL: 3 };

/** So many packets back it is known which came. */
const WINDOW = 128;

/** An acknowledgement reaches so many packets back. */
const MASK_BITS = 64;

/** The full number nearest to `expected` among those with these low 16 bits. */
export function expand(low, expected) {
  const full = expected + (((low - expected) << 16) >> 16);
  return full < 0 ? low : full;
}

/** Which of the peer's packets came, and which were taken over. */
export class ReceiveWindow {
  constructor() {
    /** One past the newest that came. */
    this.next = 0;
    /** Those that came within the window: whether they were accepted. */
    this.came = new Map();
  }

  /** Whether it is neither a repeat nor older than the window. */
  isFresh(sequence) {
    return sequence >= this.next - WINDOW && !this.came.has(sequence);
  }

  note(sequence) {
    this.came.set(sequence, false);
    this.next = Math.max(this.next, sequence + 1);
    for (const old of this.came.keys()) {
      if (old < this.next - WINDOW) this.came.delete(old);
    }
  }

  accept(sequence) {
    this.came.set(sequence, true);
  }

  isAccepted(sequence) {
    return this.came.get(sequence) === true;
  }
}

/** Reads a payload up to its body: its number, what it acknowledges, the body and a reader there. */
export function readPayload(bytes, expected, sent) {
  const reader = new BitReader(bytes);
  const payload = { reader, sequence: expand(reader.read(16), expected), acks: undefined };
  if (reader.flag()) {
    payload.acks = { newest: expand(reader.read(16), sent), heldMs: reader.read(8) * 0.128 };
    for (let byte = 0; byte < MASK_BITS / 8; byte++) {
      if (reader.flag()) reader.read(8);
    }
  }
  skipMessages(reader);
  payload.body = reader.read(2);
  return payload;
}

/** Unreliable messages: where messages travel in frames, packets hold no others. */
function skipMessages(reader) {
  while (reader.flag()) {
    if (reader.read(3) !== 0) throw new WireError("a reliable message in a packet");
    for (let left = reader.read(10); left > 0; left--) reader.read(8);
  }
}

/** A payload that acknowledges and holds nothing else. `heldMs` is the time since the newest packet came. */
export function writeAnswer(sequence, window, heldMs) {
  const writer = new BitWriter();
  writer.write(sequence & 0xffff, 16);
  writer.write(window.next > 0 ? 1 : 0, 1);
  if (window.next > 0) {
    const newest = window.next - 1;
    writer.write(newest & 0xffff, 16);
    writer.write(Math.min(Math.floor(heldMs / 0.128), 255), 8);
    for (let first = 0; first < MASK_BITS; first += 8) {
      let byte = 0;
      for (let bit = 0; bit < 8; bit++) {
        if (window.isAccepted(newest - first - bit)) byte |= 1 << bit;
      }
      writer.write(byte === 0xff ? 0 : 1, 1);
      if (byte !== 0xff) writer.write(byte, 8);
    }
  }
  writer.write(0, 1);
  writer.write(Body.EMPTY, 2);
  return writer.bytes();
}
