// A session over WebTransport: one stream for frames, datagrams for all else.

import { concat, joinFrame } from "./join.js";

/** Longest frame that a server sends. */
const MOST_FRAME_BYTES = 32770;

/** How often it is looked whether something is due, in milliseconds. */
const LOOK_EACH = 10;

/** Opens a connection and plays a session over it until either side ends it. */
export async function run(session, { url, fingerprint, token }) {
  const transport = new WebTransport(url, {
    serverCertificateHashes: [{ algorithm: "sha-256", value: fingerprint }],
    congestionControl: "low-latency",
  });
  const closed = transport.closed;
  // Whoever awaits it hears of it; that nobody may is no error.
  closed.catch(() => {});
  await transport.ready;
  const stream = await transport.createBidirectionalStream();
  const frames = stream.writable.getWriter();
  const datagrams = transport.datagrams.writable.getWriter();
  const send = () => {
    for (let frame; (frame = session.pollFrame()); ) quietly(frames.write(withLength(frame)));
    for (let datagram; (datagram = session.pollDatagram(performance.now())); ) quietly(datagrams.write(datagram));
  };
  quietly(frames.write(withLength(await joinFrame(token))));
  const looking = setInterval(send, LOOK_EACH);
  const both = Promise.race([
    readFrames(stream.readable, (frame) => (session.takeFrame(frame), send())),
    readDatagrams(transport.datagrams.readable, (bytes) => (session.takeDatagram(bytes, performance.now()), send())),
    closed,
  ]);
  try {
    await both;
  } finally {
    clearInterval(looking);
    transport.close();
  }
}

/** What cannot be sent any more is not missed: that the connection has ended is heard elsewhere. */
function quietly(promise) {
  promise.catch(() => {});
}

/** A frame behind its length. */
function withLength(frame) {
  return concat(Uint8Array.of(frame.length & 0xff, frame.length >> 8), frame);
}

async function readDatagrams(readable, take) {
  const reader = readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    take(value);
  }
}

async function readFrames(readable, take) {
  const reader = readable.getReader();
  let held = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held = concat(held, value);
    for (let length; held.length >= 2 && held.length >= 2 + (length = held[0] | (held[1] << 8)); ) {
      if (length > MOST_FRAME_BYTES) throw new Error("a frame that is too long");
      take(held.slice(2, 2 + length));
      held = held.slice(2 + length);
    }
  }
}
