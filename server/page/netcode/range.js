// The range coder's decoding half; PROTOCOL.md, "Range coder".

import { WireError } from "./bits.js";

/** Decisions of one number: zero or not, its length in unary, its second bit. */
export const NODES = 24;

/** Lengths that are told in unary; longer ones are told in five raw bits. */
const UNARY = 12;

/** By what part of the way a decision's probability moves, as a shift, by how often it was used. */
const RATE = [1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5];

/** Reads one stream. Its contexts begin as the tables say and learn as they are used. */
export class RangeDecoder {
  constructor(bytes, tables) {
    this.bytes = bytes;
    this.numbers = tables.numbers.slice();
    this.flags = tables.flags.slice();
    this.range = 0xffffffff;
    this.code = 0;
    this.at = 0;
    for (let i = 0; i < 4; i++) this.code = this.code * 256 + this.next();
  }

  /** Past the end there are zeros. */
  next() {
    const byte = this.at < this.bytes.length ? this.bytes[this.at] : 0;
    this.at++;
    return byte;
  }

  widen() {
    while (this.range < 0x1000000) {
      this.code = this.code * 256 + this.next();
      this.range *= 256;
    }
  }

  /** A decision, whose probability of 12 bits stands above a count of its uses. */
  decide(nodes, at) {
    let p = nodes[at] >> 4;
    const uses = nodes[at] & 15;
    const bound = (this.range >>> 12) * p;
    const yes = this.code < bound;
    if (yes) {
      this.range = bound;
      p += (4096 - p) >> RATE[uses];
    } else {
      this.code -= bound;
      this.range -= bound;
      p -= p >> RATE[uses];
    }
    nodes[at] = (Math.min(Math.max(p, 32), 4064) << 4) | Math.min(uses + 1, 15);
    this.widen();
    return yes;
  }

  /** A yes or no in a context. */
  flag(context) {
    return this.decide(this.flags, context);
  }

  /** A signed number of 32 bits in a context. */
  number(context) {
    const node = (at) => this.decide(this.numbers, context * NODES + at);
    if (node(0)) return 0;
    let length = 1;
    while (length < UNARY && node(length)) length++;
    if (length === UNARY) {
      length += this.raw(5);
      if (length > 32) throw new WireError("a code that no encoder makes");
    }
    let [magnitude, rest] = [1, length - 1];
    if (length >= 2 && length < UNARY) {
      magnitude = 2 + (node(UNARY + length - 1) ? 1 : 0);
      rest--;
    }
    magnitude = magnitude * 2 ** rest + this.raw(rest);
    return this.raw(1) === 1 ? -magnitude | 0 : magnitude | 0;
  }

  /** A number of so many bits of which nothing is known. */
  raw(bits) {
    let value = 0;
    for (let left = bits; left > 0; ) {
      const take = Math.min(left, 8);
      left -= take;
      this.range = this.range >>> take;
      const part = Math.floor(this.code / this.range);
      if (part >= 2 ** take) throw new WireError("a code that no encoder makes");
      this.code -= part * this.range;
      this.widen();
      value = value * 2 ** take + part;
    }
    return value;
  }

  /** Checks that the stream ends here, with no byte that need not be there. */
  finish() {
    const canonical = this.bytes.length === 0 || this.bytes[this.bytes.length - 1] !== 0;
    if (!canonical || this.at < this.bytes.length) throw new WireError("trailing bytes");
  }
}
