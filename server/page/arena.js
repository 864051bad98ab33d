// The arena on a canvas.

import { valueOf } from "./netcode/schema.js";
import { between } from "./timeline.js";

/** Nothing but who comes back elsewhere is faster than this, in metres per second. */
const FASTEST = 120;

const COLOURS = {
  ground: "#10151c",
  line: "#1a222c",
  wall: "#3a4a5c",
  pillar: "#26313d",
  drone: "#7b8b9c",
  shot: "#ffd166",
  pickup: "#4fd18b",
};

/** Half their sizes as drawn, in metres: larger than they are, to be seen. */
const SIZE = { player: 0.75, ring: 1.1, dead: 0.5, drone: 0.65, pickup: 0.6 };

/** Draws what a client holds of the arena. */
export class Arena {
  constructor(canvas, description) {
    this.canvas = canvas;
    this.map = description.map;
    this.tickRate = description.tick_rate;
    this.mostPerTick = FASTEST / description.tick_rate;
    this.places = new Map(description.schema.kinds.map((kind) => [kind.name, placesOf(kind)]));
  }

  /** One frame: the entities as they were at a tick. Returns how many there are of each kind. */
  draw(world, tick) {
    const seen = { player: 0, drone: 0, projectile: 0, pickup: 0 };
    const paint = this.begin();
    this.drawMap(paint);
    for (const remote of world.entities()) {
      const shown = this.shown(remote, tick);
      if (!shown) continue;
      seen[remote.kind.name]++;
      DRAW[remote.kind.name]?.(paint, shown);
    }
    return seen;
  }

  /** Metres, the y axis up, the origin in the middle. */
  begin() {
    const pixels = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (this.canvas.width !== pixels) this.canvas.width = this.canvas.height = pixels;
    const paint = this.canvas.getContext("2d");
    const scale = pixels / (2 * this.map.half_size + 4);
    paint.setTransform(scale, 0, 0, -scale, pixels / 2, pixels / 2);
    return paint;
  }

  drawMap(paint) {
    const half = this.map.half_size;
    paint.fillStyle = COLOURS.ground;
    paint.fillRect(-half - 2, -half - 2, 2 * half + 4, 2 * half + 4);
    paint.strokeStyle = COLOURS.line;
    paint.lineWidth = 0.12;
    paint.beginPath();
    for (let at = -half; at <= half; at += 10) {
      paint.moveTo(at, -half);
      paint.lineTo(at, half);
      paint.moveTo(-half, at);
      paint.lineTo(half, at);
    }
    paint.stroke();
    paint.fillStyle = COLOURS.pillar;
    paint.strokeStyle = COLOURS.wall;
    paint.lineWidth = 0.3;
    for (const [x, y, radius] of this.map.pillars) {
      circle(paint, x, y, radius);
      paint.fill();
      paint.stroke();
    }
    paint.lineWidth = 0.5;
    paint.strokeRect(-half, -half, 2 * half, 2 * half);
  }

  /** An entity's fields by name, at a tick; undefined before its first state. */
  shown(remote, tick) {
    const places = this.places.get(remote.kind.name);
    const metres = (from, to, at) => Math.abs(to.fields[at] - from.fields[at]) * remote.kind.fields[at].step;
    const jumps = (from, to, ticks) => [...places].some((at) => metres(from, to, at) > this.mostPerTick * ticks);
    const goesOn = (now, ticks) => carried(remote.kind, now, ticks / this.tickRate);
    const fields = between(remote, tick, (at) => places.has(at), jumps, goesOn);
    if (!fields) return undefined;
    const named = remote.kind.fields.map((field, at) => [field.name.split(".")[1], valueOf(field, fields[at])]);
    return { slot: remote.slot, ...Object.fromEntries(named) };
  }
}

/** Which of a kind's fields are places. */
function placesOf(kind) {
  const isPlace = ({ name }) => /\.[xy]$/.test(name);
  return new Set(kind.fields.flatMap((field, at) => (isPlace(field) ? [at] : [])));
}

/** Fields after so many seconds in which velocities moved the places. */
function carried(kind, fields, seconds) {
  if (seconds === 0) return fields;
  return fields.map((value, at) => {
    const [, component, axis] = /^(.*\.)([xy])$/.exec(kind.fields[at].name) ?? [];
    const velocity = kind.fields.findIndex(({ name }) => name === `${component}v${axis}`);
    if (velocity < 0) return value;
    return value + (valueOf(kind.fields[velocity], fields[velocity]) * seconds) / kind.fields[at].step;
  });
}

function circle(paint, x, y, radius) {
  paint.beginPath();
  paint.arc(x, y, radius, 0, 2 * Math.PI);
}

/** A line from a body back to where it was so many seconds ago. */
function trail(paint, { x, y, vx, vy }, seconds, colour, width) {
  paint.strokeStyle = colour;
  paint.lineWidth = width;
  paint.beginPath();
  paint.moveTo(x, y);
  paint.lineTo(x - vx * seconds, y - vy * seconds);
  paint.stroke();
}

/** Neighbouring slots get colours far apart: steps of the golden angle. */
const hue = (slot) => (slot * 137.5) % 360;

const DRAW = {
  player(paint, player) {
    const { x, y, slot, health } = player;
    const colour = `hsl(${hue(slot)} 75% 62%)`;
    if (health === 0) {
      paint.globalAlpha = 0.25;
      paint.fillStyle = colour;
      circle(paint, x, y, SIZE.dead);
      paint.fill();
      paint.globalAlpha = 1;
      return;
    }
    trail(paint, player, 0.12, `hsl(${hue(slot)} 75% 62% / 35%)`, 0.7);
    paint.fillStyle = colour;
    circle(paint, x, y, SIZE.player);
    paint.fill();
    // What is left of the player's health, as a ring.
    paint.strokeStyle = "#e9eef4";
    paint.lineWidth = 0.2;
    paint.beginPath();
    paint.arc(x, y, SIZE.ring, Math.PI / 2, Math.PI / 2 + (health / 100) * 2 * Math.PI);
    paint.stroke();
  },

  drone(paint, { x, y }) {
    paint.fillStyle = COLOURS.drone;
    paint.beginPath();
    for (const [dx, dy] of [[0, 1], [1, 0], [0, -1], [-1, 0]]) {
      paint.lineTo(x + dx * SIZE.drone, y + dy * SIZE.drone);
    }
    paint.fill();
  },

  projectile(paint, shot) {
    trail(paint, shot, 0.03, COLOURS.shot, 0.35);
  },

  pickup(paint, { x, y, present }) {
    paint.strokeStyle = COLOURS.pickup;
    paint.lineWidth = 0.5;
    paint.globalAlpha = present ? 1 : 0.2;
    paint.beginPath();
    paint.moveTo(x - SIZE.pickup, y);
    paint.lineTo(x + SIZE.pickup, y);
    paint.moveTo(x, y - SIZE.pickup);
    paint.lineTo(x, y + SIZE.pickup);
    paint.stroke();
    paint.globalAlpha = 1;
  },
};
