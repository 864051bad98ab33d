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

test("messages are counted back, a disconnect notice is read", () => {
  const session = joined();
  session.takeFrame(Uint8Array.of(2, 1, 9, 9));
  session.takeFrame(Uint8Array.of(2, 1, 9));
  session.pollFrame();
  assert.deepEqual(session.pollFrame(), Uint8Array.of(3, 2, 0, 0, 0, 0, 0, 0, 0));
  session.takeDatagram(payload(0, 0, 3, (writer) => writer.write(1, 8)), 1_000);
  assert.equal(session.disconnectCode, 1);
  assert.throws(() => session.takeFrame(Uint8Array.of(7)));
});

test("a refusal says why", () => {
  const session = joined();
  session.takeFrame(Uint8Array.of(4, 10));
  assert.equal(session.denial, 10);
  assert.throws(() => session.takeFrame(Uint8Array.of(4)));
});

/** What a display of 60 Hz shows of 60 ticks a second whose packets take `way(sent)` milliseconds: the time, and the time shown, of each frame. */
function frames(timeline, seconds, way) {
  const sent = (tick) => (tick * 1000) / 60;
  const arrivals = [...Array(seconds * 60).keys()]
    .filter((tick) => way(sent(tick)) !== undefined)
    .map((tick) => ({ tick, at: sent(tick) + way(sent(tick)) }))
    .sort((a, b) => a.at - b.at);
  let newest = -1;
  return [...Array(seconds * 60).keys()].flatMap((frame) => {
    const now = sent(frame) + 3;
    for (; arrivals.length > 0 && arrivals[0].at <= now; arrivals.shift()) {
      if (arrivals[0].tick <= newest) continue;
      newest = arrivals[0].tick;
      timeline.note(newest, arrivals[0].at);
    }
    const shown = timeline.shown(now);
    return shown === undefined ? [] : [{ now, shown: (shown * 1000) / 60 }];
  });
}

/** The longest time without motion and the largest motion of a frame, in frames' worth, after two seconds. */
function judged(drawn) {
  let [still, longest, leap] = [0, 0, 0];
  for (let at = 1; at < drawn.length; at++) {
    if (drawn[at].now < 2_000) continue;
    const [passed, moved] = [drawn[at].now - drawn[at - 1].now, drawn[at].shown - drawn[at - 1].shown];
    assert.ok(moved >= 0, "it never goes back");
    still = moved < 0.05 * passed ? still + passed : 0;
    [longest, leap] = [Math.max(longest, still), Math.max(leap, moved / passed)];
  }
  return { longest, leap };
}

test("a steady path is shown one tick late", () => {
  const drawn = frames(new Timeline(60), 6, () => 40);
  const { now, shown } = drawn.at(-1);
  assert.ok(now - shown > 57 && now - shown < 60, `${now - shown}`);
});

test("a path that changes neither freezes nor leaps", () => {
  for (const step of [10, 30, 150, 300]) {
    for (const [before, after] of [[40, 40 + step], [40 + step, 40]]) {
      const drawn = frames(new Timeline(60), 10, (sent) => (sent < 5_000 ? before : after));
      const { longest, leap } = judged(drawn);
      assert.ok(longest <= Math.max(step - 165, 0) + 37 && leap <= 2, `${before} to ${after}: ${longest} ms, ${leap}`);
      const { now, shown } = drawn.at(-1);
      assert.ok(now - shown - after < 25, `${before} to ${after}: ${now - shown - after} ms late`);
    }
  }
});

test("an outage is bridged and made up for, a long one is cut once", () => {
  const lost = (from, to) => (sent) => (sent >= from && sent < to ? undefined : 40);
  const [short, long] = [new Timeline(60), new Timeline(60)];
  const { longest, leap } = judged(frames(short, 10, lost(5_000, 6_000)));
  assert.ok(longest < 800 && leap <= 3.3, `${longest} ms, ${leap}`);
  frames(long, 12, lost(5_000, 9_000));
  assert.deepEqual([short.cuts, long.cuts], [0, 1]);
});

test("slots that the server skipped are no gap of the path", () => {
  const timeline = new Timeline(50);
  for (let tick = 0; tick < 200; tick++) timeline.note(tick, tick * 20);
  const delay = timeline.delay;
  for (let tick = 200; tick < 220; tick++) timeline.note(tick, tick * 20 + 5_000, 250);
  assert.ok(Math.abs(timeline.delay - delay - 5_000) < 2, `${timeline.delay}`);
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
