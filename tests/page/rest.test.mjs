// What rests for very long: ticks that are compared stay close to each other, however many pass.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Audience } from "../../server/page/netcode/schema.js";
import { ticksFrom } from "../../server/page/netcode/snapshot.js";
import { World } from "../../server/page/netcode/world.js";

const HALF = 2 ** 31;

test("an entity that rests stays comparable, and what left long ago may come back", () => {
  for (const start of [0, HALF - 50, 2 * HALF - 50]) {
    for (const passed of [2 ** 20 + 1, HALF - 1, HALF, HALF + 77, 2 * HALF - 2 ** 20 - 1]) {
      const world = new World(undefined);
      const entity = { slot: 3, generation: 1, kind: 0, audience: Audience.OTHERS, baseline: undefined };
      world.newest = start >>> 0;
      world.put({ ...entity, fields: [1] }, world.newest);
      world.remove({ slot: 4, generation: 1 }, world.newest);
      const tick = (start + passed) >>> 0;
      world.renew(tick);
      world.newest = tick;
      const state = world.public(3).at(tick);
      assert.deepEqual(state?.fields, [1], `${start} + ${passed}`);
      assert.ok(ticksFrom(state.tick, tick) > 0 && ticksFrom(world.public(3).seen, tick) > 0);
      world.put({ ...entity, fields: [2] }, tick);
      assert.deepEqual(world.public(3).newest().fields, [2]);
      world.put({ ...entity, slot: 4, fields: [7] }, tick);
      assert.deepEqual(world.public(4)?.newest().fields, [7]);
    }
  }
});
