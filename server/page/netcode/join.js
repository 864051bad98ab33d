// The first frame of a connection: a connect token's request, and a proof that its keys are known; PROTOCOL.md, "Sessions on
// connections".

const VERSION_BYTES = 13;
const KEY_BYTES = 32;

/** Bytes of the standard's request packet. */
const REQUEST_BYTES = 1078;

/** Where the parts of a connect token of 2,048 bytes stand: protocol, created, expires, nonce, sealed part, time-out, servers. */
const AT = { protocol: 13, expires: 29, nonce: 37, sealed: 61, servers: 1089, end: 2048 };

/** Servers that one token names at most. */
const MOST_SERVERS = 32;

/** The frame by which a client asks for a session. */
export async function joinFrame(token) {
  const request = requestOf(token);
  const proof = await prove(clientKeyOf(token), request);
  return concat(Uint8Array.of(0), request, proof);
}

function requestOf(token) {
  if (token.length !== AT.end) throw new Error("a connect token has 2,048 bytes");
  const version = token.subarray(0, VERSION_BYTES);
  const protocol = token.subarray(AT.protocol, AT.protocol + 8);
  // Expiry, nonce and sealed part stand together in both.
  const request = concat(Uint8Array.of(0), version, protocol, token.subarray(AT.expires, AT.servers - 4));
  if (request.length !== REQUEST_BYTES) throw new Error("a request has 1,078 bytes");
  return request;
}

/** It stands after the servers, of which each takes as much as its address. */
function clientKeyOf(token) {
  const view = new DataView(token.buffer, token.byteOffset, token.byteLength);
  const count = view.getUint32(AT.servers, true);
  if (count < 1 || count > MOST_SERVERS) throw new Error("a token names 1 to 32 servers");
  let at = AT.servers + 4;
  for (let server = 0; server < count; server++) at += token[at] === 1 ? 1 + 4 + 2 : 1 + 16 + 2;
  return token.subarray(at, at + KEY_BYTES);
}

async function prove(key, request) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const hmac = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  const said = concat(new TextEncoder().encode("truetick join"), request);
  return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, said));
}

/** Some byte arrays, one after the other. */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
