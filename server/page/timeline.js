// Which tick to show now: a little behind the newest, so that there is nearly always a state after it to move towards.

/** How far behind the newest packets that came without delay, in ticks: one to move towards, two for those that come late. */
const DELAY_TICKS = 3;

/** By so much a second the clock may run late against the server's before it is noticed. */
const DRIFT_MS_PER_S = 1;

/** Follows the server's ticks by when their snapshots come. */
export class Timeline {
  constructor(tickRate) {
    this.tickMs = 1000 / tickRate;
    /** When tick 0 would have come, by the packet with the least delay. */
    this.epoch = undefined;
    this.at = 0;
  }

  /** A snapshot of a tick has come. */
  note(tick, now) {
    const epoch = now - tick * this.tickMs;
    const drift = ((now - this.at) / 1000) * DRIFT_MS_PER_S;
    this.epoch = this.epoch === undefined ? epoch : Math.min(epoch, this.epoch + drift);
    this.at = now;
  }

  /** The tick to show, with its fraction. */
  shown(now) {
    return (now - this.epoch) / this.tickMs - DELAY_TICKS;
  }
}

/** An entity's fields at a time between ticks: of two states the nearer for counts, a point on the way for places. */
export function between(remote, tick, isPlace) {
  const later = remote.states.findIndex((state) => state.tick > tick);
  if (later <= 0) return later === 0 ? undefined : remote.newest().fields;
  const [from, to] = [remote.states[later - 1], remote.states[later]];
  // It is known to have stood still until then.
  const start = Math.max(from.tick, from.until);
  const part = Math.min(Math.max((tick - start) / Math.max(to.tick - start, 1), 0), 1);
  return from.fields.map((value, at) => (isPlace(at) ? value + (to.fields[at] - value) * part : value));
}
