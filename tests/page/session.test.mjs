// A page's session by itself: times are numbers, what is to be sent is polled.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BitWriter } from "../../server/page/netcode/bits.js";
import { joinFrame } from "../../server/page/netcode/join.js";
import { readPayload } from "../../server/page/netcode/payload.js";
import { Schema } from "../../server/page/netcode/schema.js";
import { Session } from "../../server/page/netcode/session.js";
import { Remote } from "../../server/page/netcode/world.js";
import { Timeline, between } from "../../server/page/timeline.js";

// As every browser has it, and Node.js from version 20 on.
globalThis.crypto ??= webcrypto;

const vectors = JSON.parse(readFileSync(process.env.VECTORS, "utf8"));
const bytesOf = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const messages = { hello: Uint8Array.of(1, 2), resync: Uint8Array.of(3) };
const [play] = vectors.plays;
const taken = play.steps.filter((step) => step.take && step.held).map((step) => bytesOf(step.take));

/** A session that the server has accepted at 1,000 ms. */
function joined() {
  const session = new Session(new Schema(play.schema), messages);
  session.takeFrame(Uint8Array.of(1, 0, 0, 0, 0, 9, 0, 0, 0));
  assert.deepEqual(session.pollFrame(), Uint8Array.of(2, 1, 1, 2), "it says what it is");
  return session;
}

/** A payload that acknowledges a number and holds a body. */
function payload(sequence, newest, body, write = () => {}) {
  const writer = new BitWriter();
  writer.write(sequence, 16);
  writer.write(1, 1);
  writer.write(newest, 16);
  writer.write(0, 8);
  for (let byte = 0; byte < 8; byte++) writer.write(0, 1);
  writer.write(0, 1);
  writer.write(body, 2);
  write(writer);
  return writer.bytes();
}

test("a token becomes the frame that a server takes", async () => {
  for (const { token, join } of vectors.joins) assert.deepEqual(await joinFrame(bytesOf(token)), bytesOf(join));
});

test("nothing leaves before the server has accepted, and then enough to stay", () => {
  const session = new Session(new Schema(play.schema), messages);
  assert.equal(session.pollDatagram(5_000), undefined);
  const after = joined();
  const sent = Array.from({ length: 1_000 }, (_, ms) => after.pollDatagram(1_000 + ms)).filter(Boolean);
  assert.ok(sent.length >= 10 && sent.length < 15, `${sent.length} in a second of silence`);
});

test("each snapshot is acknowledged, at no more than the server's own rate", () => {
  const session = joined();
  let answers = 0;
  taken.forEach((bytes, i) => {
    session.takeDatagram(bytes, 1_000 + i * 17);
    const answer = session.pollDatagram(1_000 + i * 17);
    if (answer) answers++;
    const repeated = session.pollDatagram(1_000 + i * 17 + 1);
    assert.equal(repeated, undefined, "nothing new to say");
    const acks = readPayload(answer, answers - 1, session.window.next).acks;
    assert.equal(acks.newest, session.window.next - 1);
    assert.ok(session.window.isAccepted(acks.newest), "it may be built upon");
  });
  assert.equal(answers, taken.length);
  assert.equal(session.counts.snapshots, taken.length);
  assert.equal(session.counts.errors, 0);
});

test("a round trip is what lies between sending and hearing of it", () => {
  const session = joined();
  session.pollDatagram(2_000);
  session.takeDatagram(payload(0, 0, 0), 2_040);
  assert.equal(session.rtt, 40);
  session.takeDatagram(payload(1, 0, 0), 2_300);
  assert.equal(session.rtt, 40, "a number serves once");
});

test("repeats change nothing, damage is counted and not acknowledged", () => {
  const session = joined();
  session.takeDatagram(taken[0], 1_000);
  session.takeDatagram(taken[0], 1_001);
  assert.equal(session.counts.snapshots, 1);
  const damaged = taken[1].slice();
  damaged[damaged.length - 1] ^= 0x80;
  session.takeDatagram(damaged, 1_020);
  const { sequence } = readPayload(damaged, session.window.next, 0);
  assert.deepEqual([session.counts.errors, session.window.isAccepted(sequence)], [1, false]);
  assert.deepEqual(session.pollFrame(), Uint8Array.of(2, 1, 3), "it asks for everything whole");
  const another = taken[2].slice();
  another[another.length - 1] ^= 0x80;
  session.takeDatagram(another, 1_040);
  assert.deepEqual([session.counts.errors, session.pollFrame()], [2, undefined], "once for what is on its way");
});

test("packets that build on what is not held make it ask for everything whole", () => {
  const session = joined();
  const late = taken.slice(60, 100);
  late.forEach((bytes, i) => session.takeDatagram(bytes, 1_000 + i * 17));
  assert.equal(session.counts.overtaken, late.length);
  assert.deepEqual(session.pollFrame(), Uint8Array.of(2, 1, 3));
  assert.equal(session.pollFrame(), undefined, "once");
});

test("a server that says nothing for seconds is gone", () => {
  const session = joined();
  assert.ok(!session.isSilent(1_000) && !session.isSilent(5_900));
  session.takeDatagram(Uint8Array.of(0), 6_000);
  assert.ok(!session.isSilent(10_900) && session.isSilent(11_100));
});

test("messages are counted back, a farewell is heard", () => {
  const session = joined();
  session.takeFrame(Uint8Array.of(2, 1, 9, 9));
  session.takeFrame(Uint8Array.of(2, 1, 9));
  session.pollFrame();
  assert.deepEqual(session.pollFrame(), Uint8Array.of(3, 2, 0, 0, 0, 0, 0, 0, 0));
  session.takeDatagram(payload(0, 0, 3, (writer) => writer.write(1, 8)), 1_000);
  assert.equal(session.farewell, 1);
  assert.throws(() => session.takeFrame(Uint8Array.of(7)));
});

test("a refusal says why", () => {
  const session = joined();
  session.takeFrame(Uint8Array.of(4, 10));
  assert.equal(session.denial, 10);
  assert.throws(() => session.takeFrame(Uint8Array.of(4)));
});

test("what is shown is a little behind the newest, whatever came late", () => {
  const timeline = new Timeline(50);
  for (let tick = 100; tick < 200; tick++) timeline.note(tick, tick * 20 + (tick % 3) * 10);
  const shown = timeline.shown(200 * 20);
  assert.ok(shown > 196.8 && shown <= 197, `${shown}`);
});

test("a server whose ticks come late from now on is followed within seconds", () => {
  const timeline = new Timeline(50);
  for (let tick = 0; tick < 400; tick++) timeline.note(tick, tick * 20 + (tick < 200 ? 0 : 5_000));
  assert.equal(timeline.shown(400 * 20 + 5_000), 397);
  timeline.note(400, 400 * 20 + 5_010);
  assert.ok(timeline.shown(400 * 20 + 4_990) >= 397, "it does not go back");
});

test("between two states an entity moves, after it has stood for as long as is known", () => {
  const remote = new Remote({ slot: 1, generation: 0, kind: play.schema.kinds[0], audience: 0 }, 10);
  remote.put({ fields: [100, 5] }, 10, true);
  remote.put({ fields: [200, 9] }, 20, true);
  remote.states[0].until = 18;
  const at = (tick) => between(remote, tick, (field) => field === 0);
  assert.deepEqual([at(9), at(15), at(19), at(20), at(30)], [undefined, [100, 5], [150, 5], [200, 9], [200, 9]]);
  const far = (from, to, ticks) => to.fields[0] - from.fields[0] > 40 * ticks;
  assert.deepEqual(between(remote, 19, (field) => field === 0, far), [100, 5], "who comes back elsewhere was never between");
});
