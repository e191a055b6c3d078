/** Decodes the replies of a Redis server into the terms of the store's interface. */
import type { Pin } from '../../../placement/view.ts';
import type { Claim, Epoch, Loaded, Outcome, Partition, RecordName, Wake } from '../../store.ts';
import { compareAddresses, compareUtf8 } from '../memory.ts';
import { headOf } from './layout.ts';
import type { Reply } from './link.ts';
import type { Share } from './request.ts';

type Named = readonly [RecordName, Uint8Array];

/** The state of a partition on the server. */
export interface Present {
  readonly partition: Partition;
  readonly epoch: Epoch;
  readonly counter: number;
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? reply : [];
}

function bytesOf(reply: Reply | undefined): Buffer {
  return Buffer.isBuffer(reply) ? reply : Buffer.from(String(reply ?? ''));
}

/** A copy: a view would keep the whole reply in memory. */
function ownBytes(reply: Reply | undefined): Uint8Array {
  return Uint8Array.prototype.slice.call(bytesOf(reply));
}

function textOf(reply: Reply | undefined): string {
  return bytesOf(reply).toString('utf8');
}

function numberOf(reply: Reply | undefined): number {
  return reply === null || reply === undefined ? 0 : Number(textOf(reply));
}

/** Alternating fields and values. */
function pairsOf(reply: Reply | undefined): (readonly [Reply, Reply])[] {
  const flat = listOf(reply);
  const pairs: (readonly [Reply, Reply])[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as Reply, flat[at + 1] as Reply]);
  return pairs;
}

function inOrder(records: Named[]): Named[] {
  return records.length < 2 ? records : records.sort(([left], [right]) => compareUtf8(left, right));
}

/** HGETALL of an entity. */
export function loadedOf(reply: Reply): Loaded | undefined {
  let head: Buffer | undefined;
  const records: Named[] = [];
  for (const [field, value] of pairsOf(reply)) {
    const name = textOf(field);
    if (name === '') head = bytesOf(value);
    else records.push([name, ownBytes(value)]);
  }
  return head === undefined ? undefined : { ...headOf(head), records: inOrder(records) };
}

/** The load script's reply for one entity: its fields, and the names and values of lazy records. */
export function loadedAlong(reply: Reply): Loaded | undefined {
  const [fields, names, values] = listOf(reply);
  const loaded = loadedOf(fields ?? null);
  const lazy = listOf(values);
  return loaded && { ...loaded, along: listOf(names).map((name, at): Named => [textOf(name), ownBytes(lazy[at])]) };
}

/** HMGET. */
export function recordsOf(reply: Reply): (Uint8Array | undefined)[] {
  return listOf(reply).map((value) => (value === null ? undefined : ownBytes(value)));
}

/** The scan script: names and records of lazy tables, and the rest of the entity if it was requested. */
export function scannedOf(
  reply: Reply,
  { prefix, after, limit }: { prefix: string; after: RecordName | undefined; limit: number },
): Named[] {
  const [names, values, others] = listOf(reply);
  const lazy = listOf(values);
  const found = listOf(names).map((name, at): Named => [textOf(name), ownBytes(lazy[at])]);
  for (const [field, value] of pairsOf(others)) {
    const name = textOf(field);
    const isBehind = after === undefined || compareUtf8(name, after) > 0;
    if (name !== '' && name.startsWith(prefix) && isBehind) found.push([name, ownBytes(value)]);
  }
  return inOrder(found).slice(0, limit);
}

/** ZRANGE … WITHSCORES. */
export function wakesOf(reply: Reply): Wake[] {
  return pairsOf(reply).map(([address, time]) => ({ address: textOf(address), wakeAt: numberOf(time) }));
}

export function addressesOf(reply: Reply): string[] {
  return listOf(reply).map(textOf);
}

/** HGETALL of the pins of a home. */
export function pinsOf(reply: Reply | undefined): Pin[] {
  const pins = pairsOf(reply).map(([address, worker]): Pin => ({ address: textOf(address), worker: textOf(worker) }));
  return pins.sort(compareAddresses);
}

/** The claim script: the counter of a partition is its mark. */
export function claimsOf(reply: Reply, partitions: readonly Partition[]): Claim[] {
  return partitions.map((partition, at) => {
    const [epoch, previous, claimed, owner, counter, pins] = listOf(listOf(reply)[at]);
    const before = textOf(owner);
    return {
      partition,
      epoch: numberOf(epoch),
      previous: numberOf(previous),
      claimed: numberOf(claimed),
      mark: numberOf(counter),
      before: before === '' ? undefined : before,
      pins: pinsOf(pins),
    };
  });
}

/** HMGET of epoch and counter. */
export function presentOf(reply: Reply, partition: Partition): Present {
  const [epoch, counter] = listOf(reply);
  return { partition, epoch: numberOf(epoch), counter: numberOf(counter) };
}

const outcomeOf: Readonly<Record<string, Outcome>> = { '0': 'committed', '1': 'stale-epoch', '2': 'stale-version' };

/** The commit script: puts what became of each commit at its place, and answers at what each partition is. */
export function outcomesOf(reply: Reply, shares: readonly Share[], outcomes: Outcome[]): Present[] {
  const [digits, ...presents] = listOf(reply);
  const said = textOf(digits);
  let next = 0;
  return shares.map(({ partition, epoch, places }, at) => {
    for (const place of places)
      outcomes[place] = said === '' ? 'committed' : (outcomeOf[said.charAt(next++)] ?? 'stale-epoch');
    const present = presents[at];
    if (typeof present === 'number') return { partition, epoch, counter: present < 0 ? -1 - present : present };
    const [other, counter] = textOf(present).split(' ');
    return { partition, epoch: Number(other), counter: Number(counter) };
  });
}
