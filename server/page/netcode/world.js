// What a client holds of the world: states of each entity, as far back as the server may build on them.

import { Audience, GAP } from "./schema.js";
import { decodeEntities, readHeader, tickBack, ticksFrom } from "./snapshot.js";

/** States of one entity that are kept at most. */
const STATES = 160;

/** Ticks back for which states are kept to be shown. */
const SHOWN_TICKS = 40;

/** For so many ticks packets that were overtaken by a removal are told from a new entity. */
const REMOVAL_TICKS = 256;

/** After so many ticks what rests is renewed: ticks that are compared must not be far apart. */
const RENEWED_TICKS = 2 ** 20;

/** What was told longer ago counts as told so many ticks ago: before every baseline of the server. */
const OLDEST_TICKS = 8 * RENEWED_TICKS;

/** Ticks of which it is known at once which packets came. */
const ARRIVALS = 16;

const isNewer = (generation, other) => ((generation - other) << 16) >> 16 > 0;

/** An entity as it is held. */
export class Remote {
  constructor({ slot, generation, kind, audience }, tick) {
    Object.assign(this, { slot, generation, kind, audience, seen: tick });
    /** Oldest first, never empty: `tick` told the state, `until` it was known to hold. */
    this.states = [];
  }

  /** The state in force at a tick: the newest that was told for it or for a tick before. */
  at(tick) {
    return this.states.findLast((state) => ticksFrom(state.tick, tick) >= 0);
  }

  newest() {
    return this.states.at(-1);
  }

  /** Whether it is this very entity, as the same audience sees it. */
  is({ slot, generation, kind, audience }) {
    return this.slot === slot && this.generation === generation && this.kind === kind && this.audience === audience;
  }

  put({ baseline, fields }, tick, isNewest) {
    if (ticksFrom(this.seen, tick) > 0) this.seen = tick;
    if (isNewest && baseline !== undefined) this.forgetBefore(tickBack(baseline, GAP), tickBack(tick, SHOWN_TICKS));
    const place = this.states.findLastIndex((state) => ticksFrom(state.tick, tick) >= 0);
    if (this.states[place]?.tick === tick) this.states[place].fields = fields;
    else this.states.splice(place + 1, 0, { tick, until: tick, fields });
    if (this.states.length > STATES) this.states.shift();
  }

  /** Renews all ticks; of states that then were told for the same tick the newest stays. */
  renew(renewed) {
    this.seen = renewed(this.seen);
    for (const state of this.states) Object.assign(state, { tick: renewed(state.tick), until: renewed(state.until) });
    while (this.states.length > 1 && this.states[0].tick === this.states[1].tick) this.states.shift();
  }

  /** The server builds on nothing older, and nothing older is shown. */
  forgetBefore(kept, shown) {
    const isOld = ({ tick }) => ticksFrom(tick, kept) >= 0 && ticksFrom(tick, shown) > 0;
    while (this.states.length > 1 && isOld(this.states[1])) this.states.shift();
  }
}

/** See the module. */
export class World {
  constructor(schema) {
    this.schema = schema;
    /** Tick of the newest packet. */
    this.newest = undefined;
    this.remotes = new Map();
    this.ownRemote = undefined;
    /** By slot the generation that was removed last, and the newest tick that said so. */
    this.removed = new Map();
    this.arrivals = [];
    this.complete = undefined;
  }

  /** The entities, as those see them who do not own them. */
  entities() {
    return this.remotes.values();
  }

  public(slot) {
    return this.remotes.get(slot);
  }

  own(slot) {
    return this.ownRemote?.slot === slot ? this.ownRemote : undefined;
  }

  /** Takes over a snapshot packet, whole or not at all; returns its header. */
  take(reader) {
    const header = readHeader(reader);
    const entities = decodeEntities(this.schema, this, header, reader);
    const { tick } = header;
    this.renew(tick);
    if (this.newest === undefined || ticksFrom(this.newest, tick) > 0) this.newest = tick;
    header.removals.forEach((id) => this.remove(id, tick));
    entities.forEach((entity) => this.put(entity, tick));
    this.noteArrival(header);
    return header;
  }

  /** A packet of this tick was verified: what rests is renewed, now and then, and whenever many ticks have passed. */
  renew(tick) {
    if (this.newest === undefined) return;
    const { newest } = this;
    const passed = (tick - newest) >>> 0;
    // Up to so far back a packet was overtaken; all else is later.
    if (passed > 0xffff_ffff - RENEWED_TICKS) return;
    this.renewed ??= newest;
    const jumped = passed > RENEWED_TICKS;
    if (!jumped && (tick - this.renewed) >>> 0 <= RENEWED_TICKS) return;
    this.renewed = tick;
    const age = (old) => Math.max(ticksFrom(old, newest), 0) + passed;
    const renewed = (old) => (age(old) > OLDEST_TICKS ? tickBack(tick, OLDEST_TICKS) : old);
    for (const remote of this.remotes.values()) remote.renew(renewed);
    this.ownRemote?.renew(renewed);
    for (const [slot, gone] of this.removed) if (age(gone.tick) > REMOVAL_TICKS) this.removed.delete(slot);
    if (!jumped) return;
    this.arrivals = [];
    this.newest = tickBack(tick, 1);
    if (this.complete !== undefined) this.complete = tickBack(tick, 1);
  }

  remove({ slot, generation }, tick) {
    const before = this.removed.get(slot);
    const isLater =
      !before ||
      isNewer(generation, before.generation) ||
      (generation === before.generation && ticksFrom(before.tick, tick) > 0);
    if (isLater) this.removed.set(slot, { generation, tick });
    const isGone = (remote) => remote?.generation === generation && ticksFrom(remote.seen, tick) > 0;
    if (isGone(this.public(slot))) this.remotes.delete(slot);
    if (isGone(this.own(slot))) this.ownRemote = undefined;
  }

  /** Whether the slot has a later entity, or a removal that came after. */
  isOvertaken({ slot, generation }, tick) {
    const gone = this.removed.get(slot);
    if (gone && ticksFrom(gone.tick, tick) < REMOVAL_TICKS) {
      if (isNewer(gone.generation, generation)) return true;
      if (gone.generation === generation && ticksFrom(gone.tick, tick) <= 0) return true;
    }
    const present = this.public(slot);
    return present !== undefined && isNewer(present.generation, generation);
  }

  put(entity, tick) {
    if (this.isOvertaken(entity, tick)) return;
    const own = entity.audience === Audience.OWNER;
    let remote = own ? this.ownRemote : this.public(entity.slot);
    if (!remote?.is(entity)) {
      if (remote && ticksFrom(tick, remote.seen) > 0) return;
      remote = new Remote(entity, tick);
      if (own) this.ownRemote = remote;
      else this.remotes.set(entity.slot, remote);
    }
    remote.put(entity, tick, this.newest === tick);
  }

  /** Once all packets of a tick have come, what was in none of them is known to be unchanged. */
  noteArrival({ tick, index, last, deferred }) {
    let arrival = this.arrivals.find((arrival) => arrival.tick === tick);
    if (!arrival) {
      arrival = { tick, came: 0, all: undefined, deferred: () => false };
      this.arrivals.push(arrival);
      if (this.arrivals.length > ARRIVALS) this.arrivals.shift();
    }
    arrival.came |= 1 << index;
    if (last) arrival.all = 2 ** (index + 1) - 1;
    if (index === 0) arrival.deferred = deferred;
    const isLater = this.complete === undefined || ticksFrom(this.complete, tick) > 0;
    if (arrival.came !== arrival.all || !isLater) return;
    this.complete = tick;
    for (const remote of [...this.remotes.values(), this.ownRemote].filter(Boolean)) {
      const state = remote.newest();
      const holds = !arrival.deferred(remote.slot) && ticksFrom(state.tick, tick) >= 0;
      if (holds && ticksFrom(state.until, tick) > 0) state.until = tick;
    }
  }
}
