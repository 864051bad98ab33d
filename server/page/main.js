// Joins the arena as a spectator and shows it; joins again whenever the connection ends, unless the same user watches elsewhere.

import { Arena } from "./arena.js";
import { Figures, chart } from "./figures.js";
import { run } from "./netcode/connection.js";
import { Schema } from "./netcode/schema.js";
import { Session } from "./netcode/session.js";
import { Timeline } from "./timeline.js";

/** Time before it joins again, in milliseconds. */
const PAUSE = 1000;

const element = (id) => document.getElementById(id);
const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
const bytesOfHex = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
const say = (text) => (element("status").textContent = text);

async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(`${path}: ${(await answer.text()) || answer.status}`);
  return answer.json();
}

/** What is shown: the present session, and how it does. Tests look at it, too. */
const watch = { session: undefined, timeline: undefined, figures: new Figures(), seen: {}, joins: 0 };
globalThis.truetick = watch;

/** Farewell to a client whose user has another session now: it would only take that over again. */
const REPLACED = 9;

/** One session, from its token to its end. Says why it ended, and whether to join again. */
async function play(description) {
  const { url, fingerprint, token } = await fetchJson("connect", { method: "POST" });
  const messages = { hello: bytesOf(description.hello), resync: bytesOf(description.resync) };
  const session = new Session(new Schema(description.schema), messages);
  watch.timeline = new Timeline(description.tick_rate);
  watch.session = session;
  watch.joins++;
  const known = { url, fingerprint: bytesOfHex(fingerprint), token: bytesOf(token) };
  try {
    await run(session, known);
  } catch (error) {
    // A disconnect notice says more than that the connection is closed.
    if (session.disconnectCode === undefined) throw error;
  }
  const refused = session.denial === undefined ? undefined : description.denials[session.denial];
  const why = description.disconnectReasons[session.disconnectCode] ?? refused ?? "the connection has ended";
  return { why, again: session.disconnectCode !== REPLACED };
}

async function playOn() {
  let shown;
  for (;;) {
    say("joining …");
    let [why, again] = ["", true];
    try {
      const description = await fetchJson("arena.json");
      if (!shown) show(description);
      // Another server than before: begin with nothing of the old one.
      else if (JSON.stringify(shown) !== JSON.stringify(description)) return location.reload();
      shown = description;
      ({ why, again } = await play(description));
    } catch (error) {
      why = error.message;
    }
    watch.session = undefined;
    if (!again) return say(`not connected: ${why}. Load the page again to watch here.`);
    say(`not connected: ${String(why).replace(/\.$/, "")}. Joining again …`);
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

/** Draws from now on, each time the screen is. */
function show(description) {
  const arena = new Arena(element("arena"), description);
  const frame = (now) => {
    requestAnimationFrame(frame);
    const { session, timeline } = watch;
    if (session?.world.newest === undefined) return;
    for (const { tick, at, skipped } of session.arrivals.splice(0)) timeline.note(tick, at, skipped);
    watch.seen = arena.draw(session.world, timeline.shown(now));
  };
  requestAnimationFrame(frame);
  setInterval(() => tell(description), 1000);
}

/** The figures beside the arena, once a second. */
function tell(description) {
  const { session, figures, seen } = watch;
  if (session?.world.newest === undefined) return;
  figures.note(session, performance.now());
  const { counts, rtt, world } = session;
  say(`watching, tick ${world.newest.toLocaleString("en")} at ${description.tick_rate} Hz`);
  const texts = {
    rtt: rtt === undefined ? "–" : `${rtt.toFixed(1)} ms`,
    bytes: `${(figures.rates.bytes / 1000).toFixed(1)} kB/s`,
    snapshots: `${figures.rates.snapshots.toFixed(0)} /s`,
    total: `${(counts.bytes / 1e6).toFixed(2)} MB`,
    errors: `${counts.errors}`,
    overtaken: `${counts.overtaken}`,
    players: `${seen.player ?? 0}`,
    drones: `${seen.drone ?? 0}`,
    projectiles: `${seen.projectile ?? 0}`,
  };
  Object.entries(texts).forEach(([id, text]) => (element(id).textContent = text));
  chart(element("rtt-chart"), figures.history.rtt, "#7aa2f7");
  chart(element("bytes-chart"), figures.history.bytes, "#4fd18b");
}

if ("WebTransport" in globalThis) playOn();
else say("this browser has no WebTransport: open the page in Chromium, Chrome or Edge, or Firefox 125 or newer");
