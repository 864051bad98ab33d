// XXH3-64 of up to 240 bytes, whole numbers of four: an entity's fields. After the algorithm's description,
// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

const SECRET = Uint8Array.from(
  (
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8" +
    "fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb17" +
    "0ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
  )
    .match(/../g)
    .map((byte) => parseInt(byte, 16)),
);

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const MIX_1 = 0x165667919e3779f9n;
const MIX_2 = 0x9fb21c651e98df25n;

const u64 = (value) => BigInt.asUintN(64, value);
const rotate = (value, bits) => u64(value << bits) | (value >> (64n - bits));

const secretView = new DataView(SECRET.buffer);
const secret = (at) => secretView.getBigUint64(at, true);

/** The upper half of a product of 128 bits, folded into the lower. */
function foldedProduct(a, b) {
  const product = a * b;
  return u64(product) ^ (product >> 64n);
}

function avalanche(hash) {
  hash = u64((hash ^ (hash >> 37n)) * MIX_1);
  return hash ^ (hash >> 32n);
}

/** The hash of the bytes that a `DataView` shows, with a seed; both BigInt. */
export function xxh3(view, seed) {
  const length = view.byteLength;
  if (length > 240 || length % 4 !== 0) throw new RangeError("up to 240 bytes, by the four");
  if (length === 0) return hashOfNothing(seed);
  if (length <= 8) return hashOfEight(view, seed);
  if (length <= 16) return hashOfSixteen(view, seed);
  return hashOfMore(view, seed);
}

function hashOfNothing(seed) {
  let hash = seed ^ secret(56) ^ secret(64);
  hash = u64((hash ^ (hash >> 33n)) * PRIME_2);
  hash = u64((hash ^ (hash >> 29n)) * PRIME_3);
  return hash ^ (hash >> 32n);
}

function hashOfEight(view, seed) {
  const length = view.byteLength;
  const low = BigInt.asUintN(32, seed);
  const swapped = ((low & 0xffn) << 24n) | ((low & 0xff00n) << 8n) | ((low >> 8n) & 0xff00n) | (low >> 24n);
  const key = u64((secret(8) ^ secret(16)) - (seed ^ (swapped << 32n)));
  const [first, last] = [view.getUint32(0, true), view.getUint32(length - 4, true)];
  let hash = ((BigInt(first) << 32n) + BigInt(last)) ^ key;
  hash ^= rotate(hash, 49n) ^ rotate(hash, 24n);
  hash = u64(hash * MIX_2);
  hash ^= (hash >> 35n) + BigInt(length);
  hash = u64(hash * MIX_2);
  return hash ^ (hash >> 28n);
}

function hashOfSixteen(view, seed) {
  const length = view.byteLength;
  const low = view.getBigUint64(0, true) ^ u64((secret(24) ^ secret(32)) + seed);
  const high = view.getBigUint64(length - 8, true) ^ u64((secret(40) ^ secret(48)) - seed);
  const swapped = new DataView(new ArrayBuffer(8));
  swapped.setBigUint64(0, low, true);
  return avalanche(u64(BigInt(length) + swapped.getBigUint64(0) + high + foldedProduct(low, high)));
}

function hashOfMore(view, seed) {
  const length = view.byteLength;
  const mix = (at, key) => {
    const low = view.getBigUint64(at, true) ^ u64(secret(key) + seed);
    return foldedProduct(low, view.getBigUint64(at + 8, true) ^ u64(secret(key + 8) - seed));
  };
  let sum = BigInt(length) * PRIME_1;
  if (length <= 128) {
    // From both ends to the middle.
    for (let pair = 0; pair < (length + 31) >> 5; pair++) {
      sum += mix(16 * pair, 32 * pair) + mix(length - 16 * (pair + 1), 32 * pair + 16);
    }
    return avalanche(u64(sum));
  }
  for (let at = 0; at < 8; at++) sum += mix(16 * at, 16 * at);
  sum = avalanche(u64(sum));
  for (let at = 8; at < length >> 4; at++) sum += mix(16 * at, 16 * (at - 8) + 3);
  return avalanche(u64(sum + mix(length - 16, 136 - 17)));
}
