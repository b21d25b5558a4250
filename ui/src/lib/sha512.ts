// SHA-512 (FIPS 180-4). WebCrypto is only there in a secure context, and a private cloud is often reached over plain HTTP by
// its address; the API wants the hash of the password all the same.

const MASK = (1n << 64n) - 1n;

/** The first `count` primes. */
function primes(count: number): bigint[] {
  const found: bigint[] = [];
  for (let n = 2n; found.length < count; n++) if (found.every((prime) => n % prime !== 0n)) found.push(n);
  return found;
}

/** The whole part of the `degree`-th root of n. */
function integerRoot(n: bigint, degree: bigint): bigint {
  let low = 0n;
  let high = 1n << (BigInt(n.toString(2).length) / degree + 1n);
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** degree <= n) low = middle;
    else high = middle - 1n;
  }
  return low;
}

/** The first 64 bits of the fraction of the `degree`-th root, from which the standard takes its constants. */
const rootBits = (n: bigint, degree: bigint) => integerRoot(n << (64n * degree), degree) & MASK;

const ROUND_CONSTANTS = primes(80).map((prime) => rootBits(prime, 3n));
const START = primes(8).map((prime) => rootBits(prime, 2n));

const rotate = (x: bigint, by: bigint) => ((x >> by) | (x << (64n - by))) & MASK;

function pad(message: Uint8Array): DataView {
  const blocks = Math.ceil((message.length + 17) / 128);
  const padded = new Uint8Array(blocks * 128);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  return view;
}

function schedule(view: DataView, offset: number): bigint[] {
  const w: bigint[] = [];
  for (let t = 0; t < 16; t++) w.push(view.getBigUint64(offset + t * 8));
  for (let t = 16; t < 80; t++) {
    const [a, b, c, d] = [w[t - 15] ?? 0n, w[t - 2] ?? 0n, w[t - 16] ?? 0n, w[t - 7] ?? 0n];
    const s0 = rotate(a, 1n) ^ rotate(a, 8n) ^ (a >> 7n);
    const s1 = rotate(b, 19n) ^ rotate(b, 61n) ^ (b >> 6n);
    w.push((c + s0 + d + s1) & MASK);
  }
  return w;
}

function compress(state: bigint[], w: bigint[]): bigint[] {
  let [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n, g = 0n, h = 0n] = state;
  for (let t = 0; t < 80; t++) {
    const s1 = rotate(e, 14n) ^ rotate(e, 18n) ^ rotate(e, 41n);
    const choice = (e & f) ^ (~e & MASK & g);
    const t1 = (h + s1 + choice + (ROUND_CONSTANTS[t] ?? 0n) + (w[t] ?? 0n)) & MASK;
    const s0 = rotate(a, 28n) ^ rotate(a, 34n) ^ rotate(a, 39n);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & MASK, c, b, a, (t1 + s0 + majority) & MASK];
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + (state[i] ?? 0n)) & MASK);
}

/** SHA-512 of bytes, as lower-case hex. */
export function sha512(message: Uint8Array): string {
  const view = pad(message);
  let state = START;
  for (let offset = 0; offset < view.byteLength; offset += 128)
    state = compress(state, schedule(view, offset));
  return state.map((word) => word.toString(16).padStart(16, "0")).join("");
}

/** A password as the API takes it: lower-case hex SHA-512 of its UTF-8 text. */
export async function hashPassword(password: string): Promise<string> {
  const bytes = new TextEncoder().encode(password);
  if (!globalThis.crypto?.subtle) return sha512(bytes);
  const digest = await crypto.subtle.digest("SHA-512", bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
