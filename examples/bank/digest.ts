/** A number for a transfer: sums of them tell which transfers an account has taken part in, without a list. FNV-1a, 32 bits. */
export function digestOf(transfer: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < transfer.length; at += 1) hash = Math.imul(hash ^ transfer.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
