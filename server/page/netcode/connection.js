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
  // Whoever awaits it hears of it; that nobody may is no error.
  quietly(transport.closed);
  const after = [() => transport.close()];
  try {
    await transport.ready;
    const stream = await transport.createBidirectionalStream();
    const send = sender(session, stream.writable.getWriter(), transport.datagrams.writable.getWriter());
    send.frame(await joinFrame(token));
    const silence = new Promise((_, fail) => {
      const looking = setInterval(() => {
        if (session.isSilent(performance.now())) fail(new Error("the server is silent"));
        send.due();
      }, LOOK_EACH);
      after.push(() => clearInterval(looking));
    });
    await Promise.race([
      readFrames(stream.readable, (frame) => {
        session.takeFrame(frame);
        send.due();
        return session.denial !== undefined;
      }),
      readDatagrams(transport.datagrams.readable, (bytes) => (session.takeDatagram(bytes, performance.now()), send.due())),
      transport.closed,
      silence,
    ]);
  } finally {
    after.forEach((end) => end());
  }
}

/** Sends what a session has to send. */
function sender(session, frames, datagrams) {
  const frame = (bytes) => quietly(frames.write(concat(Uint8Array.of(bytes.length & 0xff, bytes.length >> 8), bytes)));
  const due = () => {
    for (let bytes; (bytes = session.pollFrame()); ) frame(bytes);
    for (let bytes; (bytes = session.pollDatagram(performance.now())); ) quietly(datagrams.write(bytes));
  };
  return { frame, due };
}

/** What cannot be sent any more is not missed: that the connection has ended is heard elsewhere. */
function quietly(promise) {
  promise.catch(() => {});
}

async function readDatagrams(readable, take) {
  const reader = readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    take(value);
  }
}

/** Each frame stands behind its length of two bytes. Ends when `take` says that no more are wanted. */
async function readFrames(readable, take) {
  const reader = readable.getReader();
  let held = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held = concat(held, value);
    for (let length; held.length >= 2 && held.length >= 2 + (length = held[0] | (held[1] << 8)); ) {
      if (length > MOST_FRAME_BYTES) throw new Error("a frame that is too long");
      if (take(held.slice(2, 2 + length))) return;
      held = held.slice(2 + length);
    }
  }
}
