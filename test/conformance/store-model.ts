/**
 * Random histories for a store, and their comparison with a model: every step is done to both, every answer compared.
 *
 * Owns what a step is and how stale it may be. The numbers of a step are relative to what the model holds, so that most
 * commits are accepted and some are not.
 */
import fc from 'fast-check';
import type { Commit, Store } from '../../runtime/store.ts';
import { assert } from '../support/suite.ts';

const keys = ['a/1', 'a/2', 'a/1\0', 'a-b/é', 'b/😀', 'b/\uffff', 'b/1'];
const names = ['s', 's1', 's\0', 'p1', 'p2', 'p😀', 'p\uffff', 'd', 'h1', 'q'];

const text = fc.constantFrom('', 'x', 'longer', 'é😀');
/** 0 mostly: how far a number is off. */
const drift = fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1);
const page = { after: fc.option(fc.nat(9), { nil: undefined }), limit: fc.nat(4) };

const change = fc.record({
  key: fc.nat(keys.length - 1),
  epochDrift: drift,
  versionDrift: drift,
  head: text,
  records: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.option(text)), {
    maxLength: 4,
    selector: ([name]) => name,
  }),
  wakeAt: fc.option(fc.constantFrom(0, 5, 5.5, 7, 1e13), { nil: undefined }),
  leaves: fc.constantFrom(undefined, undefined, undefined, 'tombstone' as const, 'nothing' as const),
});

export const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      group: fc.uniqueArray(change, { maxLength: 4, selector: ({ key }) => key }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      partitions: fc.uniqueArray(fc.constantFrom(0, 1, 2, 256, 514), { maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('load' as const),
      keys: fc.array(fc.nat(keys.length - 1), { maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('scan' as const),
      key: fc.nat(keys.length - 1),
      prefix: fc.constantFrom('', 'p', 's', 's1', 'x'),
      ...page,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wakes' as const), partition: fc.nat(2), ...page }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('list' as const),
      type: fc.constantFrom(undefined, 'a', 'b', 'a-b', 'c'),
      ...page,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('pin' as const),
      key: fc.nat(keys.length - 1),
      round: fc.integer({ min: 1, max: 2 }),
      worker: fc.constantFrom('one', 'two', undefined),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('lease' as const),
      holder: fc.constantFrom('one', 'two', 'three'),
      call: fc.record({ now: fc.nat(9), ms: fc.nat(3), instead: fc.record({ term: fc.nat(3), until: fc.nat(12) }) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
);

export type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;
type Change = typeof change extends fc.Arbitrary<infer Value> ? Value : never;

export async function compareWithModel(
  real: { store: Store; reopen(): Promise<Store> },
  model: Store,
  steps: readonly Step[],
): Promise<void> {
  let store = real.store;
  const start: Step = { do: 'claim', partitions: [0, 1, 2] };
  for (const next of [start, ...steps]) {
    if (next.do === 'reopen') store = await real.reopen();
    else assert.equal(plain(await perform(store, model, next)), plain(await perform(model, model, next)));
    if (next.do !== 'commit') continue;
    // The answer came from the model as it was; only now has the model committed too, so compare what both hold.
    assert.equal(plain(await everything(store)), plain(await everything(model)));
  }
}

async function perform(store: Store, model: Store, next: Exclude<Step, { do: 'reopen' }>): Promise<unknown> {
  switch (next.do) {
    case 'commit':
      return store.commit(await Promise.all(next.group.map((one) => commitFor(store, model, one))));
    case 'claim':
      return claimAll(store, next.partitions);
    case 'pin':
      return [
        await store.pin(keys[next.key] ?? 'a/1', (next.key % 3) + store.partitions * next.round, next.worker),
        await store.pins(),
      ];
    case 'lease':
      return store.lease('placement', next.holder, next.call);
    case 'load':
      return store.load(next.keys.map((key) => entityOf(key)));
    case 'scan':
      return store.scan(
        entityOf(next.key),
        next.prefix,
        options(next.limit, next.after === undefined ? undefined : names[next.after]),
      );
    case 'wakes':
      return store.wakes(
        next.partition,
        options(next.limit, next.after === undefined ? undefined : { address: keys[next.after] ?? 'a/1', wakeAt: 5 }),
      );
    case 'list':
      return store.list(next.type, options(next.limit, next.after === undefined ? undefined : keys[next.after]));
  }
}

/** Without epochs and marks themselves: by how much they rise, and what they count, is the store's business (S6, S10). */
async function claimAll(store: Store, partitions: readonly number[]): Promise<unknown> {
  const before = await store.epochs(partitions);
  const marks = partitions.map((partition, at) => store.markOf(partition, before[at] ?? 0));
  const claims = await store.claim(partitions, 'tester');
  const after = await store.epochs(partitions);
  return claims.map(({ partition, epoch, previous, claimed, mark, ...claim }, at) => ({
    ...claim,
    partition,
    isAsAcknowledged: mark === (marks[at] ?? mark),
    isRaised: epoch > (before[at] ?? 0) && epoch === after[at] && previous === before[at],
    isSinceClaimed: claimed === previous,
    isSinceEver: claimed === 0,
  }));
}

async function everything(store: Store): Promise<unknown> {
  const loaded = await store.load(keys.map((_, key) => entityOf(key)));
  const scanned = await Promise.all(keys.map((_, key) => store.scan(entityOf(key), '', { limit: 99 })));
  const read = await Promise.all(keys.map((_, key) => store.read(entityOf(key), names)));
  const wakes = await Promise.all([0, 1, 2].map((partition) => store.wakes(partition, { limit: 99 })));
  return [loaded, scanned, read, wakes, await store.list(undefined, { limit: 99 })];
}

function entityOf(key: number): { partition: number; address: string } {
  return { partition: key % 3, address: keys[key] ?? 'a/1' };
}

async function commitFor(store: Store, model: Store, wanted: Change): Promise<Commit> {
  const entity = entityOf(wanted.key);
  const [present] = await model.load([entity]);
  const [epoch] = await store.epochs([entity.partition]);
  const expected = (present?.version ?? 0) + wanted.versionDrift;
  return {
    ...entity,
    epoch: (epoch ?? 0) + wanted.epochDrift,
    expected,
    version: Math.max(expected, 0) + 1,
    head: Buffer.from(wanted.head),
    records: wanted.records.map(([name, value]) => [name, value === null ? null : Buffer.from(value)]),
    wakeBefore: present?.wakeAt,
    wakeAt: wanted.wakeAt,
    leaves: wanted.leaves,
  };
}

function options<After>(limit: number, after: After | undefined): { after?: After; limit: number } {
  return after === undefined ? { limit } : { after, limit };
}

/** Bytes as text, so that a Buffer and a Uint8Array of the same bytes are equal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
