// The page in a headless Chromium: it watches 64 bots for ten seconds of the server's time; then the server ends, another begins at
// the same address, and the page watches that. `scripts/test-page` runs it.
// Arguments: the demo's program, the browser, the folder of playwright-core, the file of the screenshot.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const [program, executablePath, modules, screenshot] = process.argv.slice(2);
const { chromium } = createRequire(resolve(modules, "index.js"))("playwright-core");

const BOTS = 64;
const TICKS = 600;

/** Bytes that a snapshot takes on average, at most: it takes half of that, and ten times as much if nothing builds on anything. */
const MOST_BYTES = 700;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the demo, its page at a port or any; gives the page's address once it says so, and how to end it. */
async function startDemo(port = 0) {
  // How many ticks a shared machine misses is not what is tried here.
  const options = ["--clients", `${BOTS}`, "--no-auction", "--max-missed", "100", "--page", `127.0.0.1:${port}`];
  const demo = spawn(program, ["demo", ...options]);
  demo.stderr.pipe(process.stderr);
  const ended = new Promise((done) => demo.on("exit", (code, signal) => done({ code, signal })));
  const end = async () => {
    demo.kill("SIGINT");
    assert.deepEqual(await ended, { code: 0, signal: null }, "the demo ends cleanly");
  };
  for await (const line of createInterface({ input: demo.stdout })) {
    const address = line.match(/http:\S+/)?.[0];
    // What it says later is not of interest, but must be taken from it.
    if (address) return (demo.stdout.resume(), { address, end });
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

/** Ten seconds of the server's time: what the page had before and after, and how far each player went. */
async function watch(page) {
  const first = await lookUntil(page, ({ places }) => places.length === BOTS, `${BOTS} players`);
  const way = new Map(first.places.map((place) => [place.id, { last: place, metres: 0 }]));
  let now = first;
  for (let second = 1; second <= 10; second++) {
    const tick = first.tick + (TICKS / 10) * second;
    now = await lookUntil(page, (found) => found.tick >= tick, `tick ${tick}`);
    for (const place of now.places) {
      const known = way.get(place.id);
      if (!known) continue;
      known.metres += Math.hypot(place.x - known.last.x, place.y - known.last.y);
      known.last = place;
    }
  }
  return { first, now, way: [...way.values()].map(({ metres }) => metres) };
}

function check({ first, now, way }) {
  const between = (name) => now.counts[name] - first.counts[name];
  const bytes = between("bytes") / between("packets");
  console.log(
    `${now.tick - first.tick} ticks watched: ${between("snapshots")} snapshots of ${bytes.toFixed(0)} bytes, ` +
      `${now.counts.errors} decoding errors, ${now.counts.overtaken} packets overtaken, ` +
      `${way.length} players went at least ${Math.min(...way).toFixed(1)} m, round trip ${now.rtt.toFixed(1)} ms`,
  );
  assert.equal(now.counts.errors, 0);
  assert.equal(now.joins, 1, "one session");
  assert.ok(between("snapshots") > 500, "more than 500 snapshots");
  assert.ok(bytes < MOST_BYTES, "what is acknowledged is built upon");
  assert.ok(way.length === BOTS && way.every((metres) => metres > 1), "everyone moves");
}

const browser = await chromium.launch({ executablePath, args: FLAGS });
let demo = await startDemo();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  await page.goto(demo.address);
  check(await watch(page));
  await page.screenshot({ path: screenshot });
  assert.deepEqual(wrong, [], "the page reports no errors");

  await demo.end();
  await page.waitForFunction(() => !globalThis.truetick.session);
  console.log(`the server has ended; the page says: ${await page.textContent("#status")}`);
  demo = await startDemo(new URL(demo.address).port);
  const again = await lookUntil(page, ({ places }) => places.length === BOTS, "another server's players");
  assert.equal(again.counts.errors, 0);
  console.log(`it watches the next server at tick ${again.tick}`);
} finally {
  await browser.close();
  await demo.end();
}
