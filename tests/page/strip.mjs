// A strip of frames of the page while its path changes as in the profile `handover`: 80 or 230 ms of round trip, changing every 5 s,
// and every 12 s nothing for a second. A relay of datagrams makes the path. `scripts/page-strip` runs it.
// Arguments: the demo's program, the browser, the folder of playwright-core, the file of the strip.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const [program, executablePath, modules, output] = process.argv.slice(2);
const { chromium } = createRequire(resolve(modules, "index.js"))("playwright-core");

/** Milliseconds. */
const [WAY, STEP, STEP_EVERY, OUTAGE, OUTAGE_EVERY] = [40, 75, 5_000, 1_000, 12_000];
const [FRAME_EVERY, FRAMES] = [125, 14];

async function startDemo() {
  const options = ["--clients", "24", "--no-auction", "--max-missed", "100", "--page", "127.0.0.1:0"];
  const demo = spawn(program, ["demo", ...options]);
  demo.stderr.pipe(process.stderr);
  for await (const line of createInterface({ input: demo.stdout })) {
    const address = line.match(/http:\S+/)?.[0];
    if (address) return (demo.stdout.resume(), { address, end: () => demo.kill("SIGINT") });
  }
  throw new Error("the demo said nothing of a page");
}

/** A path to a port of loopback; gives its own port. `start` is when its behaviour begins. */
async function relay(port) {
  const path = { open: true, start: performance.now(), front: createSocket("udp4"), back: createSocket("udp4") };
  const pass = (send) => (datagram) => {
    const at = performance.now() - path.start;
    if (at % OUTAGE_EVERY < OUTAGE && at > OUTAGE_EVERY / 2) return;
    setTimeout(() => path.open && send(datagram), WAY + (Math.floor(at / STEP_EVERY) % 2 ? STEP : 0));
  };
  let client;
  const up = pass((datagram) => path.back.send(datagram, port, "127.0.0.1"));
  const down = pass((datagram) => path.front.send(datagram, client.port, client.address));
  path.front.on("message", (datagram, from) => ((client = from), up(datagram)));
  path.back.on("message", down);
  await new Promise((done) => path.front.bind(0, "127.0.0.1", done));
  path.close = () => {
    path.open = false;
    [path.front, path.back].forEach((socket) => socket.close());
  };
  return path;
}

/** Frames from a moment of the path on. */
async function frames(page, path, from) {
  const taken = [];
  const clip = { x: 300, y: 180, width: 300, height: 220 };
  await page.waitForTimeout(from - (performance.now() - path.start));
  for (let i = 0; i < FRAMES; i++) {
    const at = performance.now() - path.start;
    const image = await page.screenshot({ clip, type: "jpeg", quality: 70 });
    taken.push({ at, image: image.toString("base64") });
    await page.waitForTimeout(Math.max(0, from + (i + 1) * FRAME_EVERY - (performance.now() - path.start)));
  }
  return taken;
}

const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
const demo = await startDemo();
let path;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.route("**/connect", async (route) => {
    const known = await (await route.fetch()).json();
    const url = new URL(known.url);
    path = await relay(Number(url.port));
    url.port = path.front.address().port;
    await route.fulfill({ json: { ...known, url: url.href } });
  });
  await page.goto(demo.address);
  await page.waitForFunction(() => globalThis.truetick.seen.player > 0);
  path.start = performance.now();
  const step = await frames(page, path, STEP_EVERY - 300);
  const outage = await frames(page, path, OUTAGE_EVERY - 300);
  console.log(`sessions of the page: ${await page.evaluate(() => globalThis.truetick.joins)}`);

  const row = (title, taken, event) => `<h2>${title}</h2><div>${taken
    .map(({ at, image }) => `<figure><img src="data:image/jpeg;base64,${image}" width="150"><figcaption>${(at - event).toFixed(0)} ms</figcaption></figure>`)
    .join("")}</div>`;
  const sheet = await browser.newPage({ viewport: { width: 1180, height: 100 } });
  await sheet.setContent(
    `<style>body{font:13px sans-serif;background:#14161c;color:#ddd;margin:12px}div{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}h2{font-size:14px}</style>` +
      row("The way becomes 75 ms longer, each way, at 0 ms", step, STEP_EVERY) +
      row("Nothing passes from 0 to 1,000 ms", outage, OUTAGE_EVERY),
  );
  await sheet.screenshot({ path: output, fullPage: true });
} finally {
  await browser.close();
  path?.close();
  demo.end();
}
