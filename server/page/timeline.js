// Which tick to show now: a little behind the newest, so that there is nearly always a state after it to move towards.

/** How far behind the newest packets that came without delay, in ticks: one to move towards, two for those that come late. */
const DELAY_TICKS = 3;

/** Packets by which it is told how late they come: two seconds' worth. What changed before, the server's clock included, is forgotten. */
const ARRIVALS = 128;

/** Follows the server's ticks by when their snapshots come. */
export class Timeline {
  constructor(tickRate) {
    this.tickMs = 1000 / tickRate;
    /** Of the last packets, when tick 0 would have come. */
    this.epochs = [];
  }

  /** A snapshot of a tick has come. */
  note(tick, now) {
    this.epochs.push(now - tick * this.tickMs);
    if (this.epochs.length > ARRIVALS) this.epochs.shift();
  }

  /** The tick to show, with its fraction. The packet with the least delay counts. */
  shown(now) {
    return (now - Math.min(...this.epochs)) / this.tickMs - DELAY_TICKS;
  }
}

/**
 * An entity's fields at a time between ticks: of two states the earlier, but for places, which are on their way to the later.
 * Undefined before its first state. `jumps` says whether the way between two states is none.
 */
export function between(remote, tick, isPlace, jumps = () => false) {
  const later = remote.states.findIndex((state) => state.tick > tick);
  if (later <= 0) return later === 0 ? undefined : remote.newest().fields;
  const [from, to] = [remote.states[later - 1], remote.states[later]];
  if (jumps(from, to)) return from.fields;
  // It is known to have stood still until then.
  const start = Math.max(from.tick, from.until);
  const part = Math.min(Math.max((tick - start) / Math.max(to.tick - start, 1), 0), 1);
  return from.fields.map((value, at) => (isPlace(at) ? value + (to.fields[at] - value) * part : value));
}
