// Which tick to show now: as far behind the newest as is needed so that there is nearly always a state after it to move towards. The
// same as display_clock.rs and delay_window.rs of the native client.

/** Arrivals older than this are forgotten, in milliseconds; and so many are kept. */
const WINDOW = 4000;
const MOST_SAMPLES = 512;

/** Starving all the time is as bad as this much delay, in milliseconds. */
const WEIGHT = 1000;

/** Arrivals of this last time are compared with older ones, and at least so many. */
const RECENT = 400;
const RECENT_SAMPLES = 6;

/** Beyond the newest state the time shown goes on for this long, in milliseconds. */
const EXTRAPOLATED = 250;

/** An error is made up for within about this time: behind (faster) and ahead (slower). */
const FAST = 300;
const SLOW = 600;

/** Rates that are not exceeded: in general, where an outage left the display so far behind, and the least. */
const MAX_RATE = 1.65;
const RATE_AFTER_OUTAGE = 3.2;
const OUTAGE = 350;
const MIN_RATE = 0.5;

/** Further behind than this the display cuts. */
const CUT = 1500;

/** Delays that were needed, and the one that costs least: `delay + WEIGHT * share of time starved`. */
export class DelayWindow {
  constructor() {
    this.samples = [];
  }

  /** A packet came at a time; until then a delay of less than `need` starved, for `span` at most. */
  push(at, need, span) {
    const { samples } = this;
    samples.push({ at, need, span });
    while (samples.length > MOST_SAMPLES || (samples.length > RECENT_SAMPLES && samples[0].at < at - WINDOW)) samples.shift();
    this.forgetOtherPath(at);
  }

  shift(by) {
    this.samples.forEach((sample) => (sample.need += by));
  }

  /** When all recent needs lie below (or above) three quarters of the older ones, the path is another one. */
  forgetOtherPath(now) {
    const { samples } = this;
    const recent = Math.max(samples.filter(({ at }) => at > now - RECENT).length, RECENT_SAMPLES);
    if (samples.length < recent + 2) return;
    const old = samples.length - recent;
    const needs = samples.slice(old).map(({ need }) => need);
    const [low, high] = [Math.min(...needs), Math.max(...needs)];
    const older = samples.slice(0, old).map(({ need }) => need).sort((a, b) => a - b);
    const [lower, upper] = [older[old >> 2], older[old - 1 - (old >> 2)]];
    const lasted = now - samples[old].at > RECENT * 0.85;
    const longer = lasted && low - upper > 1 && high - low < Math.max(low - upper, 2);
    if (high + 1 < lower || longer) samples.splice(0, old);
  }

  cheapest() {
    const edges = this.samples.flatMap(({ need, span }) => [[need, 1], [need - span, -1]]);
    edges.sort((a, b) => b[0] - a[0]);
    const total = Math.max(this.samples.reduce((sum, { span }) => sum + span, 0), 1e-3);
    let [starved, open, above, least, best] = [0, 0, edges[0]?.[0] ?? 0, Infinity, 0];
    for (const [delay, change] of edges) {
      starved += open * (above - delay);
      const cost = delay + (WEIGHT * starved) / total;
      if (cost < least) [least, best] = [cost, delay];
      [above, open] = [delay, open + change];
    }
    return best;
  }
}

/** Moves the tick shown by its rate only, so that a path that changes neither freezes nor leaps. */
export class Timeline {
  constructor(tickRate) {
    this.tickMs = 1000 / tickRate;
    this.window = new DelayWindow();
    /** Ticks are counted from the first, so that they may wrap. */
    this.origin = undefined;
    this.newest = undefined;
    this.skipped = 0;
    this.cuts = 0;
  }

  ms(tick) {
    return ((tick - this.origin) | 0) * this.tickMs;
  }

  /** The first packet of a newer tick came, before which the server had skipped so many slots, modulo 65,536. */
  note(tick, at, skipped = 0) {
    if (this.origin === undefined) [this.origin, this.skipped] = [tick, skipped];
    const moved = ((((skipped - this.skipped) & 0xffff) << 16) >> 16) * this.tickMs;
    if (moved > 0) {
      // The gap that skipped slots explain is no gap of the path.
      this.skipped = skipped;
      this.window.shift(moved);
      if (this.newest) this.newest.at += moved;
    }
    const before = this.newest;
    if (before) this.window.push(at, at - this.ms(before.tick), Math.max(at - before.at, 0));
    this.newest = { tick, at };
    this.delay = before ? this.window.cheapest() + 1 : at - this.ms(tick) + this.tickMs;
  }

  /** The tick to show, with its fraction; undefined before the first packet. */
  shown(now) {
    if (!this.newest) return undefined;
    const wanted = now - this.delay;
    const newest = this.ms(this.newest.tick);
    const passed = Math.max(now - (this.drawnAt ?? now), 0);
    this.drawnAt = now;
    this.at = this.at === undefined ? Math.min(wanted, newest) : this.moved(wanted, newest, passed);
    return this.origin + this.at / this.tickMs;
  }

  moved(wanted, newest, passed) {
    if (Math.min(wanted, newest) - this.at > CUT) {
      this.cuts++;
      return wanted;
    }
    const behind = wanted - this.at - passed;
    let rate = Math.max(1 + behind / SLOW, MIN_RATE);
    if (behind > 0) rate = behind > OUTAGE ? RATE_AFTER_OUTAGE : Math.min(1 + behind / FAST, MAX_RATE);
    const brake = Math.min(Math.max((newest + EXTRAPOLATED - this.at) / (EXTRAPOLATED / 3), 0), 1);
    return Math.min(this.at + passed * rate * brake, Math.max(this.at, newest + EXTRAPOLATED));
  }
}

/**
 * An entity's fields at a time between ticks: of two states the earlier, but for places, which are on their way to the later; past
 * the newest state `goesOn(fields, ticks)`. Undefined before its first state. `jumps` says whether the way between two states, that
 * took so many ticks, is none.
 */
export function between(remote, tick, isPlace, jumps = () => false, goesOn = (fields) => fields) {
  const later = remote.states.findIndex((state) => state.tick > tick);
  if (later <= 0) {
    if (later === 0) return undefined;
    const newest = remote.newest();
    return goesOn(newest.fields, Math.max(tick - Math.max(newest.tick, newest.until), 0));
  }
  const [from, to] = [remote.states[later - 1], remote.states[later]];
  // It is known to have stood still until then.
  const start = Math.max(from.tick, from.until);
  const ticks = Math.max(to.tick - start, 1);
  if (jumps(from, to, ticks)) return from.fields;
  const part = Math.min(Math.max((tick - start) / ticks, 0), 1);
  return from.fields.map((value, at) => (isPlace(at) ? value + (to.fields[at] - value) * part : value));
}
