// What a session's numbers are, second by second.

/** Seconds that the charts show. */
const SECONDS = 30;

/** Counts of the last second, and charts of those before. */
export class Figures {
  constructor() {
    this.rates = { bytes: 0, snapshots: 0 };
    this.history = { bytes: [], rtt: [] };
    this.before = undefined;
  }

  /** A session's counts so far; to be called about once a second. */
  note({ counts, rtt }, now) {
    const seconds = this.before ? (now - this.before.now) / 1000 : 0;
    if (seconds > 0) {
      for (const name of ["bytes", "snapshots"]) {
        this.rates[name] = Math.max(counts[name] - this.before[name], 0) / seconds;
      }
      push(this.history.bytes, this.rates.bytes);
      push(this.history.rtt, rtt ?? 0);
    }
    this.before = { now, bytes: counts.bytes, snapshots: counts.snapshots };
  }
}

function push(values, value) {
  values.push(value);
  if (values.length > SECONDS) values.shift();
}

/** Draws values as a line, the newest at the right, from nothing to the largest. */
export function chart(canvas, values, colour) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const paint = canvas.getContext("2d");
  paint.clearRect(0, 0, width, height);
  const most = Math.max(...values, 1e-9) * 1.15;
  const at = (value, i) => [((i + SECONDS - values.length) / (SECONDS - 1)) * width, height - (value / most) * height];
  paint.strokeStyle = colour;
  paint.lineWidth = 1.5 * devicePixelRatio;
  paint.beginPath();
  values.forEach((value, i) => paint.lineTo(...at(value, i)));
  paint.stroke();
}
