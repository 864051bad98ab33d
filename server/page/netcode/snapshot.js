// Snapshot packets, decoded against what is held; PROTOCOL.md, "Snapshot". Nothing is kept here.

import { WireError } from "./bits.js";
import { RangeDecoder } from "./range.js";
import { Audience, GAP, apply, difference } from "./schema.js";
import { xxh3 } from "./xxh3.js";

const SLOT_BITS = 14;
const SLOTS = 2 ** SLOT_BITS;
const BLOCK = 64;
const MOST_REMOVALS = 16;
const MOST_DEFERRED = 32;
const MOST_LATES = 4;

/** A packet holds no more units and no more entities than this, whatever it claims. */
const MOST_UNITS = 1175;
const MOST_ENTITIES = 16 * 1175;

/** A baseline is no further back than this. */
const MOST_AGE = 2 ** 30;

/** Contexts that every stream has. */
const NUMBER = { SLOT: 0, AGE: 1, GAP: 2, GENERATION: 3, KIND: 4 };
const FLAG = { PRESENT: 0, ALL: 2, WHOLE: 3, TEAM: 5 };

/** The packet builds on a state that is not held any more: newer packets have overtaken it. */
export class BaselineError extends Error {}

/** What was decoded is not what the server has. */
export class HashError extends Error {}

/** The tick so many before another; ticks wrap at 32 bits. */
export const tickBack = (tick, by) => (tick - by) >>> 0;

/** Signed distance from one tick to a later one. */
export const ticksFrom = (earlier, later) => (later - earlier) | 0;

/** Reads everything in a packet before its entities. */
export function readHeader(reader) {
  const header = { tick: reader.read(32), index: reader.read(4), last: reader.flag() };
  if (header.index === 0) header.skipped = readSkipped(reader);
  header.removals = readRemovals(reader);
  header.deferred = readDeferred(reader);
  header.loose = reader.golomb(2);
  header.hasOwn = header.loose > 0 && reader.flag();
  header.looseBytes = header.loose > 0 ? reader.golomb(6) : 0;
  header.units = readUnits(reader);
  return header;
}

/** Of what the server says of commands only how many slots of its time line it has skipped, modulo 65,536. */
function readSkipped(reader) {
  reader.read(16);
  const lates = reader.read(3);
  if (lates > MOST_LATES) throw new WireError("too many late commands");
  for (let late = 0; late < lates; late += 1) reader.read(24);
  reader.read(16);
  return reader.read(16);
}

function readRemovals(reader) {
  const count = reader.golomb(0);
  if (count > MOST_REMOVALS) throw new WireError("too many removals");
  return Array.from({ length: count }, () => ({ slot: reader.read(SLOT_BITS), generation: reader.read(16) }));
}

/** Which slots' absence says nothing: a test of a slot. */
function readDeferred(reader) {
  const mode = reader.read(2);
  if (mode === 0) return () => false;
  if (mode === 2) return () => true;
  if (mode === 3) throw new WireError("unknown mode of deferral");
  const count = reader.read(7);
  if (count > MOST_DEFERRED) throw new WireError("too many deferred entities");
  const slots = Array.from({ length: count }, () => reader.read(SLOT_BITS));
  if (slots.some((slot, at) => slot < slots[at - 1])) throw new WireError("deferred entities out of order");
  return (slot) => slots.includes(slot);
}

function readUnits(reader) {
  const count = reader.golomb(2);
  if (count > MOST_UNITS) throw new WireError("too many units");
  const units = [];
  for (let block = 0; units.length < count; ) {
    block += reader.golomb(0);
    const age = reader.golomb(1);
    const gap = age > 0 ? reader.golomb(0) : 0;
    if (block * BLOCK >= SLOTS || age >= MOST_AGE || gap > GAP) throw new WireError("unit out of range");
    units.push({ block, age, gap, bytes: reader.golomb(6) });
  }
  return units;
}

/** The entities of a packet whose header is read, once its hash has proved them. `held` finds older states. */
export function decodeEntities(schema, held, header, reader) {
  reader.align();
  const packet = { schema, held, now: header.tick, entities: [], hash: 0 };
  if (header.loose > 0) readLoose(packet, header, reader.slice(header.looseBytes));
  for (const unit of header.units) readUnit(packet, unit, reader.slice(unit.bytes));
  const hash = reader.read(16);
  reader.finish();
  if ((packet.hash & 0xffff) !== hash) throw new HashError("decoded state differs from the server's");
  return packet.entities;
}

function readUnit(packet, unit, bytes) {
  const coder = new RangeDecoder(bytes, packet.schema.tablesOf(unit.age, unit.gap));
  for (const place of readMask(coder)) {
    readEntity(packet, coder, unit.block * BLOCK + place, unit, false);
  }
  coder.finish();
}

/** Which places of a block a unit fills, rising. */
function readMask(coder) {
  const all = coder.flag(FLAG.ALL);
  const places = [];
  for (let place = 0, before = 1; place < BLOCK; place++) {
    before = all || coder.flag(FLAG.PRESENT + before) ? 1 : 0;
    if (before) places.push(place);
  }
  return places;
}

function readLoose(packet, header, bytes) {
  const coder = new RangeDecoder(bytes, packet.schema.looseTables());
  for (let at = 0, next = 0, wasWhole = 0; at < header.loose; at++) {
    const slot = next + coder.number(NUMBER.SLOT);
    if (slot < 0 || slot >= SLOTS) throw new WireError("entity slot out of range");
    wasWhole = coder.flag(FLAG.WHOLE + wasWhole) ? 1 : 0;
    const base = wasWhole ? { age: 0, gap: 0 } : readBase(coder);
    readEntity(packet, coder, slot, base, at === 0 && header.hasOwn);
    next = slot + 1;
  }
  coder.finish();
}

function readBase(coder) {
  const age = coder.number(NUMBER.AGE) + 1;
  const gap = coder.number(NUMBER.GAP);
  if (age < 1 || age >= MOST_AGE || gap < 0 || gap > GAP) throw new WireError("baseline out of range");
  return { age, gap };
}

/** One entity: `own` if it is the receiver's, as its owner sees it. */
function readEntity(packet, coder, slot, base, own) {
  if (packet.entities.length >= MOST_ENTITIES) throw new WireError("too many entities");
  const entity = base.age === 0 ? readWhole(packet, coder, own) : readChange(packet, coder, slot, base, own);
  entity.slot = slot;
  packet.hash += hashPart(entity);
  packet.entities.push(entity);
}

function readWhole({ schema }, coder, own) {
  const team = !own && schema.hasTeams && coder.flag(FLAG.TEAM);
  const audience = own ? Audience.OWNER : team ? Audience.TEAM : Audience.OTHERS;
  const generation = coder.number(NUMBER.GENERATION);
  const kind = schema.kinds[coder.number(NUMBER.KIND)];
  if (generation < 0 || generation > 0xffff || !kind) throw new WireError("entity out of range");
  const fields = kind.fields.map((field) => {
    const value = field.visibility <= audience ? coder.raw(field.bits) : 0;
    if (value > field.max) throw new WireError("field out of range");
    return value;
  });
  return { generation, kind, audience, baseline: undefined, fields };
}

function readChange({ held, now }, coder, slot, { age, gap }, own) {
  const baseline = tickBack(now, age);
  const remote = own ? held.own(slot) : held.public(slot);
  const base = remote?.at(baseline);
  const older = gap > 0 ? remote?.at(tickBack(baseline, gap)) : undefined;
  if (!base || (gap > 0 && !older)) throw new BaselineError("builds on a state that is not held");
  const { generation, kind, audience } = remote;
  const past = { age, gap, base: base.fields, older: older?.fields };
  return { generation, kind, audience, baseline, fields: readFields(coder, kind, audience, past) };
}

/** An entity's fields, that are coded against the past: `age` ticks after `base`, which is `gap` ticks after `older`. */
export function readFields(coder, kind, audience, past) {
  const fields = past.base.slice();
  const residuals = new Array(fields.length).fill(0);
  for (const component of kind.plan) {
    if (component.visibility > audience) continue;
    const unforeseen = coder.flag(component.flag);
    for (const { at, context, after, estimator } of component.fields) {
      const field = kind.fields[at];
      if (field.visibility > audience) continue;
      if (unforeseen) residuals[at] = coder.number(context + contextAfter(residuals[after] ?? 0));
      const value = apply(field, estimate(field, at, estimator, past, fields), residuals[at]);
      if (value === undefined) throw new WireError("field out of range");
      fields[at] = value;
    }
  }
  return fields;
}

/** The context that follows from the residual before: 0, about 1, a few, more. */
function contextAfter(residual) {
  const size = Math.abs(residual);
  return size <= 1 ? size : size <= 5 ? 2 : 3;
}

/** What a field is expected to be. */
function estimate(field, at, estimator, { age, gap, base, older }, fields) {
  switch (estimator.by) {
    case "constant":
      return base[at];
    case "linear": {
      if (!older) return base[at];
      const went = difference(field, older[at], base[at]);
      return keepInRange(field, base[at], Math.floor((went * age + (gap >> 1)) / gap));
    }
    case "moved": {
      const before = base[estimator.velocity] - estimator.rest;
      const now = fields[estimator.velocity] - estimator.rest;
      const twice = age * (before + now) + (now - before);
      return keepInRange(field, base[at], Math.floor((twice * estimator.gain + 2 ** 20) / 2 ** 21));
    }
    default:
      throw new Error(`the schema was not checked: estimator by ${estimator.by}`);
  }
}

/** It stays where the field ends. Numbers are of 32 bits, as the server's are, and wrap as they do. */
function keepInRange(field, base, moved) {
  const step = moved | 0;
  return apply(field, base, step) ?? (step < 0 ? 0 : field.max);
}

const hashed = new DataView(new ArrayBuffer(240));

/** The part of one entity in a packet's hash. */
function hashPart({ slot, generation, kind, audience, fields }) {
  let length = 0;
  kind.fields.forEach((field, at) => {
    if (field.visibility > audience) return;
    hashed.setUint32(length, fields[at], true);
    length += 4;
  });
  const hash = xxh3(new DataView(hashed.buffer, 0, length), BigInt(kind.fields.length));
  const place = ((BigInt(slot) << 32n) | BigInt(generation)) * 0x9e3779b97f4a7c15n;
  return Number(BigInt.asUintN(64, (hash ^ BigInt.asUintN(64, place)) * 0xff51afd7ed558ccdn) >> 48n);
}
