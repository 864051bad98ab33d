// The page in a headless Chromium: it watches 64 bots for ten seconds of the server's time. `scripts/test-page` runs it.
// Arguments: the demo's program, the folder of playwright-core, the file of the screenshot.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const [program, modules, screenshot] = process.argv.slice(2);
const { chromium } = createRequire(resolve(modules, "index.js"))("playwright-core");

const BOTS = 64;
const TICKS = 600;
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the demo; gives its process and the page's address, once it says where that is. */
async function startDemo() {
  // How many ticks a shared machine misses is not what is tried here.
  const demo = spawn(program, ["demo", "--clients", `${BOTS}`, "--no-auction", "--max-missed", "100"]);
  demo.stderr.pipe(process.stderr);
  const ended = new Promise((done) => demo.on("exit", (code, signal) => done({ code, signal })));
  for await (const line of createInterface({ input: demo.stdout })) {
    const address = line.match(/http:\S+/)?.[0];
    // What it says later is not of interest, but must be taken from it.
    if (address) return (demo.stdout.resume(), { demo, ended, address });
  }
  throw new Error(`the demo said nothing of a page: ${JSON.stringify(await ended)}`);
}

/** What the page has: counts, tick, and where each player is. */
const look = () => {
  const { session, joins, seen } = globalThis.truetick;
  if (!session?.world.newest) return undefined;
  const players = [...session.world.entities()].filter(({ kind }) => kind.name === "player");
  const places = players.map(({ slot, generation, states }) => {
    const [x, y] = states.at(-1).fields;
    return { id: `${slot}.${generation}`, x: x / 2048, y: y / 2048 };
  });
  return { counts: { ...session.counts }, tick: session.world.newest, rtt: session.rtt, joins, seen, places };
};

/** Looks at the page until what it has is as wanted. */
async function lookUntil(page, wanted, what) {
  for (let tries = 0; tries < 600; tries++) {
    const found = await page.evaluate(look);
    if (found && wanted(found)) return found;
    await page.waitForTimeout(100);
  }
  throw new Error(`waited a minute for ${what}: ${await page.textContent("#status")}`);
}

async function watch(address) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    await page.goto(address);
    const first = await lookUntil(page, ({ places }) => places.length === BOTS, `${BOTS} players`);
    const way = new Map(first.places.map((place) => [place.id, { last: place, metres: 0 }]));
    let now = first;
    for (let second = 1; second <= 10; second++) {
      const tick = first.tick + (TICKS / 10) * second;
      now = await lookUntil(page, (found) => found.tick >= tick, `tick ${tick}`);
      for (const place of now.places) {
        const known = way.get(place.id);
        if (known) known.metres += Math.hypot(place.x - known.last.x, place.y - known.last.y);
        if (known) known.last = place;
      }
    }
    await page.screenshot({ path: screenshot });
    return { first, now, way: [...way.values()].map(({ metres }) => metres), wrong };
  } finally {
    await browser.close();
  }
}

const { demo, ended, address } = await startDemo();
try {
  const { first, now, way, wrong } = await watch(address);
  const snapshots = now.counts.snapshots - first.counts.snapshots;
  const metres = Math.min(...way).toFixed(1);
  console.log(
    `${now.tick - first.tick} ticks watched: ${snapshots} snapshots, ${now.counts.errors} decoding errors, ` +
      `${now.counts.overtaken} overtaken, ${way.length} players moved at least ${metres} m, ` +
      `${(now.counts.bytes / 1000).toFixed(0)} kB, round trip ${now.rtt.toFixed(1)} ms`,
  );
  assert.deepEqual(wrong, [], "the page reports no errors");
  assert.equal(now.counts.errors, 0);
  assert.equal(now.joins, 1, "one session");
  assert.ok(snapshots > 500, "more than 500 snapshots");
  assert.ok(way.length === BOTS && way.every((metres) => metres > 1), "everyone moves");
} finally {
  demo.kill("SIGINT");
}
assert.deepEqual(await ended, { code: 0, signal: null }, "the demo ends cleanly");
