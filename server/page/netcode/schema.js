// The table of what is replicated, as the server tells it, made ready for decoding.

/** Whose copy of an entity is meant: it holds the fields whose visibility is no higher. */
export const Audience = { OTHERS: 0, TEAM: 1, OWNER: 2 };

/** By how many ticks the second of two baselines may be older. */
export const GAP = 15;

/** Loose streams start as for a baseline three ticks old with an older one. */
const LOOSE_CLASS = 7;

/** Reads the description that `describe.rs` writes. */
export class Schema {
  constructor(described) {
    if (described.coding !== "range") throw new Error("this decoder understands the range coder only");
    const known = ["constant", "linear", "moved"];
    const coded = described.kinds.flatMap(({ plan }) => plan.flatMap(({ fields }) => fields));
    const unknown = coded.find(({ estimator }) => !known.includes(estimator.by));
    if (unknown) throw new Error(`this decoder does not understand fields that are estimated by ${unknown.estimator.by}`);
    this.hasTeams = described.teams;
    this.kinds = described.kinds.map((kind, id) => ({ ...kind, id }));
    this.tables = described.tables.map(({ numbers, flags }) => ({
      numbers: Uint16Array.from(words(numbers)),
      flags: Uint16Array.from(words(flags)),
    }));
  }

  /** Where contexts start for entities that are whole (no age), or build on one or two baselines. */
  tablesOf(age, gap) {
    const step = age <= 3 ? age - 1 : age <= 6 ? 3 : 4;
    return this.tables[age === 0 ? 0 : step + (gap > 0 ? 5 : 0)];
  }

  /** Those of a loose stream, whose entities build on baselines of all ages. */
  looseTables() {
    return this.tables[LOOSE_CLASS];
  }
}

function words(base64) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
}

/** The signed change from one value of a field to another, the short way round for a turn. */
export function difference(field, from, to) {
  const plain = (to - from) | 0;
  return field.turn ? (plain << (32 - field.bits)) >> (32 - field.bits) : plain;
}

/** The value that lies so far from another; undefined where that leaves the field's range. */
export function apply(field, from, change) {
  const to = (from + change) >>> 0;
  if (field.turn) return (to & field.max) >>> 0;
  return to <= field.max ? to : undefined;
}

/** The value of a field's number, in its unit; radians for a turn. */
export function valueOf(field, number) {
  if (field.turn) return (number * 2 * Math.PI) / 2 ** field.bits;
  return field.step === undefined ? number : field.min + number * field.step;
}
