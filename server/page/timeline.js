// Which tick to show now: a little behind the newest, so that there is nearly always a state after it to move towards.

/** How far behind the newest packets that came without delay, in ticks: one to move towards, two for those that come late. */
const DELAY_TICKS = 3;

/** So long packets tell how late they come. What changed before, the server's clock included, is forgotten. */
const WINDOW_S = 2;

/** What is shown goes back only if it was this far off. */
const FAR_S = 1;

/** Follows the server's ticks by when their snapshots come. */
export class Timeline {
  constructor(tickRate) {
    this.tickMs = 1000 / tickRate;
    /** Of the last packets, when tick 0 would have come. */
    this.epochs = [];
    this.most = Math.ceil(WINDOW_S * tickRate);
    this.far = FAR_S * tickRate;
    this.last = -Infinity;
  }

  /** A snapshot of a tick has come. */
  note(tick, now) {
    this.epochs.push(now - tick * this.tickMs);
    if (this.epochs.length > this.most) this.epochs.shift();
  }

  /** The tick to show, with its fraction. The packet with the least delay counts. */
  shown(now) {
    const tick = (now - Math.min(...this.epochs)) / this.tickMs - DELAY_TICKS;
    this.last = tick < this.last - this.far ? tick : Math.max(tick, this.last);
    return this.last;
  }
}

/**
 * An entity's fields at a time between ticks: of two states the earlier, but for places, which are on their way to the later.
 * Undefined before its first state. `jumps` says whether the way between two states, that took so many ticks, is none.
 */
export function between(remote, tick, isPlace, jumps = () => false) {
  const later = remote.states.findIndex((state) => state.tick > tick);
  if (later <= 0) return later === 0 ? undefined : remote.newest().fields;
  const [from, to] = [remote.states[later - 1], remote.states[later]];
  // It is known to have stood still until then.
  const start = Math.max(from.tick, from.until);
  const ticks = Math.max(to.tick - start, 1);
  if (jumps(from, to, ticks)) return from.fields;
  const part = Math.min(Math.max((tick - start) / ticks, 0), 1);
  return from.fields.map((value, at) => (isPlace(at) ? value + (to.fields[at] - value) * part : value));
}
