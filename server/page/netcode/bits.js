// Bit fields, the first in the lowest bits of the first byte; PROTOCOL.md, "Payloads".

/** Bytes that are not what the format says. */
export class WireError extends Error {}

/** Reads bit fields in the order in which they were written. */
export class BitReader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
    this.end = bytes.length * 8;
  }

  /** The next `bits` (0 to 32) as an unsigned number. */
  read(bits) {
    if (this.at + bits > this.end) throw new WireError("ends too early");
    let value = 0;
    for (let done = 0; done < bits; ) {
      const skip = this.at & 7;
      const take = Math.min(8 - skip, bits - done);
      const part = (this.bytes[this.at >> 3] >> skip) & ((1 << take) - 1);
      value += part * 2 ** done;
      this.at += take;
      done += take;
    }
    return value;
  }

  /** The next bit. */
  flag() {
    return this.read(1) === 1;
  }

  /** An unsigned number of up to 32 bits in an exponential Golomb code of order `k`. */
  golomb(k) {
    let width = k;
    while (!this.flag()) {
      if (++width > 32) throw new WireError("number over 32 bits");
    }
    const value = 2 ** width + this.read(width) - 2 ** k;
    if (value > 0xffffffff) throw new WireError("number over 32 bits");
    return value;
  }

  /** Skips the zeros up to the next whole byte. */
  align() {
    if (this.read(-this.at & 7) !== 0) throw new WireError("padding is not zero");
  }

  /** The next `length` bytes as they are; `align` comes first. */
  slice(length) {
    const start = this.at >> 3;
    if (start + length > this.bytes.length) throw new WireError("ends too early");
    this.at += length * 8;
    return this.bytes.subarray(start, start + length);
  }

  /** Checks that nothing but zero padding to the byte is left. */
  finish() {
    const left = this.end - this.at;
    if (left >= 8 || this.read(left) !== 0) throw new WireError("trailing bits");
  }
}

/** Writes bit fields. */
export class BitWriter {
  constructor() {
    this.out = [];
    this.at = 0;
  }

  /** Writes the low `bits` (0 to 32) of an unsigned number. */
  write(value, bits) {
    for (let bit = 0; bit < bits; bit++, this.at++) {
      if ((this.at & 7) === 0) this.out.push(0);
      const one = Math.floor(value / 2 ** bit) & 1;
      this.out[this.at >> 3] |= one << (this.at & 7);
    }
  }

  /** Everything, the last byte filled up with zeros. */
  bytes() {
    return Uint8Array.from(this.out);
  }
}
