/**
 * Handoff chunks: divides the entities that are handed off with a partition over several control messages.
 *
 * Owns the estimate of an entity's size in a message.
 */
import type { WarmEntity } from './control-messages.ts';

/** Bytes of a control message beside its entities. */
export const overheadBytes = 4_096;

/** At least one chunk. An entity that fits into none is left out, and the next owner reads it from the store. */
export function chunksOf(warm: readonly WarmEntity[], messageBytesMax: number): WarmEntity[][] {
  const bytesMax = messageBytesMax - overheadBytes;
  const chunks: WarmEntity[][] = [[]];
  let bytes = 0;
  for (const entity of warm) {
    const size = bytesOf(entity);
    if (size > bytesMax) continue;
    if (bytes + size > bytesMax) {
      chunks.push([]);
      bytes = 0;
    }
    bytes += size;
    chunks[chunks.length - 1]?.push(entity);
  }
  return chunks;
}

function bytesOf({ address, loaded, activities }: WarmEntity): number {
  let bytes = 64 + address.length * 3 + loaded.head.length;
  for (const [name, value] of [...loaded.records, ...activities]) bytes += 16 + name.length * 3 + value.length;
  return bytes;
}
