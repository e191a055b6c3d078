/**
 * Hashing: text → number, and address → home partition, the same in every process.
 *
 * Owns the hash: 32-bit FNV-1a over UTF-8 bytes, then the finaliser of MurmurHash3 by Austin Appleby. `rendezvous.ts` assigns
 * partitions to workers. `docs/protocol.md` has test vectors.
 *
 * Invariants:
 * - H1 The same bytes give the same number for ever, in every process and language.
 */
const utf8 = new TextEncoder();
const scratch = new Uint8Array(4_096);

/** A 32-bit hash of the UTF-8 bytes of a text. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  const length = text.length;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 127) return hashBytes(text);
    value = Math.imul(value ^ code, 0x01000193);
  }
  return finish(value);
}

function hashBytes(text: string): number {
  const bytes =
    text.length * 3 <= scratch.length ? scratch.subarray(0, utf8.encodeInto(text, scratch).written) : utf8.encode(text);
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return finish(value);
}

/** FNV-1a leaves its low bits poorly mixed for short keys: every input bit must reach every output bit. */
function finish(hashed: number): number {
  let value = hashed;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** The home partition of an address: where it is stored, independent of its owner. */
export function partitionOf(address: string, partitions: number): number {
  return hash(address) % partitions;
}
