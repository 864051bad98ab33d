// The page's decoder against golden vectors: `node --test tests/page` with their file in VECTORS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BitReader, WireError } from "../../server/page/netcode/bits.js";
import { Body, ReceiveWindow, readPayload, writeAnswer } from "../../server/page/netcode/payload.js";
import { RangeDecoder } from "../../server/page/netcode/range.js";
import { Schema } from "../../server/page/netcode/schema.js";
import { BaselineError, HashError, decodeEntities, readFields, readHeader } from "../../server/page/netcode/snapshot.js";
import { World } from "../../server/page/netcode/world.js";
import { xxh3 } from "../../server/page/netcode/xxh3.js";

const vectors = JSON.parse(readFileSync(process.env.VECTORS, "utf8"));
const bytesOf = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const nodesOf = (base64) => new Uint16Array(bytesOf(base64).buffer);

test("hashes are those of XXH3", () => {
  for (const { bytes, seed, hash } of vectors.hashes) {
    const given = bytesOf(bytes);
    const found = xxh3(new DataView(given.buffer), BigInt(seed));
    assert.equal(found.toString(16).padStart(16, "0"), hash, `${given.length} bytes`);
  }
});

test("streams of the range coder return", () => {
  for (const { tables, bytes, coded } of vectors.streams) {
    const nodes = { numbers: nodesOf(tables.numbers), flags: nodesOf(tables.flags) };
    const coder = new RangeDecoder(bytesOf(bytes), nodes);
    for (const { flag, number, raw, context, bits } of coded) {
      if (flag !== undefined) assert.equal(coder.flag(context), flag);
      else if (number !== undefined) assert.equal(coder.number(context), number);
      else assert.equal(coder.raw(bits), raw);
    }
    coder.finish();
  }
});

test("changes against states of any age return", () => {
  for (const { kind, changes, schema } of vectors.ages) {
    const made = new Schema(schema);
    for (const { age, gap, base, older, now, audience, bytes } of changes) {
      const coder = new RangeDecoder(bytesOf(bytes), made.tablesOf(age, gap));
      const past = { age, gap, base, older: gap > 0 ? older : undefined };
      assert.deepEqual(readFields(coder, made.kinds[kind], audience, past), now, `age ${age}, gap ${gap}`);
      coder.finish();
    }
  }
});

/** For how long the newest packet was held when an answer was written. */
function heldMs(answer) {
  const reader = new BitReader(answer);
  reader.read(16);
  if (!reader.flag()) return 0;
  reader.read(16);
  return (reader.read(8) + 0.5) * 0.128;
}

/** A client that takes a play's packets. */
class Client {
  constructor(schema) {
    this.world = new World(new Schema(schema));
    this.window = new ReceiveWindow();
  }

  take(bytes) {
    const { reader, sequence, body } = readPayload(bytes, this.window.next, 0);
    assert.ok(this.window.isFresh(sequence));
    this.window.note(sequence);
    assert.equal(body, Body.SNAPSHOT);
    this.world.take(reader);
    this.window.accept(sequence);
  }

  /** Whether a packet cannot be taken for what it is. Nothing of it is kept. */
  refuses(bytes) {
    try {
      const { reader } = readPayload(bytes, this.window.next, 0);
      decodeEntities(this.world.schema, this.world, readHeader(reader), reader);
      return false;
    } catch (error) {
      const known = [WireError, BaselineError, HashError].some((kind) => error instanceof kind);
      if (!known) throw error;
      return true;
    }
  }

  /** Takes a packet that it cannot take. */
  takeDamaged(bytes) {
    this.world.take(readPayload(bytes, this.window.next, 0).reader);
  }

  /** As the vectors have them. */
  entities(states) {
    const own = this.world.ownRemote;
    const remotes = [...this.world.entities()].sort((a, b) => a.slot - b.slot);
    return [...remotes, own].filter(Boolean).flatMap((remote) =>
      states(remote).map(({ tick, until, fields }) => {
        const { slot, generation, kind } = remote;
        return [slot, generation, kind.id, remote === own ? 1 : 0, tick, until, ...fields];
      }),
    );
  }

  /** Compares all that is held with what a step says of it, if it does. */
  compare({ newest, since, states }) {
    const shown = (remote) => remote.states.filter(({ tick }) => tick > since);
    if (newest) assert.deepEqual(this.entities((remote) => [remote.newest()]), newest);
    if (states) assert.deepEqual(this.entities(shown), states);
    return newest || states ? 1 : 0;
  }
}

/** Numbers below a bound that look random and are always the same. */
function chances(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

/** A packet with a bit turned over, or cut short, or with bytes behind its end. */
function damaged(bytes, chance) {
  const copy = Uint8Array.from([...bytes, 0]);
  const how = chance(3);
  if (how === 0) return copy.subarray(0, chance(bytes.length));
  copy[how === 1 ? chance(bytes.length) : bytes.length] ^= 1 << chance(8);
  return copy.subarray(0, bytes.length + how - 1);
}

for (const { name, schema, steps } of vectors.plays) {
  test(`${name} holds what the server says and answers as is expected`, () => {
    const client = new Client(schema);
    let [taken, refused, told] = [0, 0, 0];
    for (const step of steps) {
      if (step.answer) {
        const answer = bytesOf(step.answer);
        assert.deepEqual(writeAnswer(step.sequence, client.window, heldMs(answer)), answer);
        continue;
      }
      if (step.states) {
        told += client.compare(step);
        continue;
      }
      if (step.held) {
        client.take(bytesOf(step.take));
        taken++;
      } else {
        assert.throws(() => client.take(bytesOf(step.take)), BaselineError);
        refused++;
      }
      told += client.compare(step);
    }
    console.log(`${name}: ${taken} packets taken, ${refused} refused, all compared ${told} times`);
    assert.ok(taken > 150 && refused > 1 && told > 5);
  });

  test(`${name} refuses what is damaged, and nothing else happens`, () => {
    const client = new Client(schema);
    const chance = chances(7);
    let refused = 0;
    for (const step of steps.filter((step) => step.take && step.held)) {
      const genuine = bytesOf(step.take);
      for (let copies = 0; copies < 3; copies++) {
        const copy = damaged(genuine, chance);
        // A bit that no hash covers, as that of a command's margin, may be taken for what it is not.
        if (!client.refuses(copy)) continue;
        assert.throws(() => client.takeDamaged(copy));
        refused++;
      }
      client.take(genuine);
      client.compare(step);
    }
    assert.ok(refused > 400, `${refused} refused`);
  });
}
