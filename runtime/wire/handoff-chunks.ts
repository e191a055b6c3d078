/**
 * Bundles: what goes along with a partition, divided into as many signals as it takes.
 *
 * Owns how large an entity is taken to be on its way.
 */
import type { WarmEntity } from './control-messages.ts';

/** Bytes of a signal beside its entities. */
export const overheadBytes = 4_096;

/** In parts of at most so many bytes, at least one; what does not fit alone is left to be read from the store. */
export function chunksOf(warm: readonly WarmEntity[], signalBytesMax: number): WarmEntity[][] {
  const bytesMax = signalBytesMax - overheadBytes;
  const bundles: WarmEntity[][] = [[]];
  let bytes = 0;
  for (const entity of warm) {
    const size = bytesOf(entity);
    if (size > bytesMax) continue;
    if (bytes + size > bytesMax) {
      bundles.push([]);
      bytes = 0;
    }
    bytes += size;
    bundles[bundles.length - 1]?.push(entity);
  }
  return bundles;
}

function bytesOf({ address, loaded, activities }: WarmEntity): number {
  let bytes = 64 + address.length * 3 + loaded.head.length;
  for (const [name, value] of [...loaded.records, ...activities]) bytes += 16 + name.length * 3 + value.length;
  return bytes;
}
