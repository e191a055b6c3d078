/**
 * The cost of a durable turn as something grows: the number of entities, the partners of one entity, or the state.
 *
 * One row per size, on one cluster that grows. The calls and their number in flight are the same in each row.
 *
 *     entities         every one was just called and is in memory; calls are spread over all
 *     fewOfEntities    after a restart: all are in the store, the 1,000 that are called are in memory
 *     partners         one entity that so many idempotency keys have called; its calls are of one client
 *     firstContacts    the same entity, called with keys that are new to it, so that it gets more of them
 *     state            a hundred entities with so many bytes each, of which a turn changes some ten
 */
import type { CallOptions } from '../../core/entity.ts';
import { chanceOf } from '../../runtime/testing/chance.ts';
import { Counter, Wide } from '../entities.ts';
import { judge } from '../load/journal.ts';
import { drive, type Lane } from '../load/load.ts';
import type { Entries, Growth, Plan, Verdict } from '../plan.ts';
import { inGroups, keyName, type Scenario, type Stand, type Step, type Steps } from '../scenario.ts';

const fewCount = 1_000;
const wideCount = 100;
/** Every partner is remembered for longer than a run takes. */
const keyLifeMs = 86_400_000;

/** Sizes in steps of ten or a hundred, and the largest itself. */
const sizesUpTo = (most: number, usual: readonly number[]) => [...usual.filter((size) => size < most), most];
const entitySizes = (keys: number) => sizesUpTo(keys, [1_000, 10_000, 100_000]);

const stepOf = (axis: Growth['axis'], size: number): Step => ({
  name: `${axis} ${size.toLocaleString('en')}`,
  growth: { axis, size },
});

function steps({ keys, partners, stateBytes }: Plan): Steps {
  const all: Step[] = [
    ...entitySizes(keys).flatMap((size) => [
      stepOf('entities', size),
      { ...stepOf('fewOfEntities', size), isAfterRestart: true },
    ]),
    ...sizesUpTo(partners, [1, 100, 10_000]).flatMap((size) => [
      stepOf('partners', size),
      { ...stepOf('firstContacts', size), calls: Math.max(1, Math.round(partners / 5)) },
    ]),
    ...sizesUpTo(stateBytes, [1_000, 10_000, 100_000]).map((size) => stepOf('state', size)),
  ];
  return all as [Step, ...Step[]];
}

const growthOf = ({ work }: Stand): Growth => {
  if (work.growth === undefined) throw new Error(`nothing grows in the step '${work.step}'`);
  return work.growth;
};

/** The same keys in each generator. */
function few(size: number): readonly number[] {
  const chance = chanceOf(size);
  const keys = new Set<number>();
  while (keys.size < Math.min(fewCount, size)) keys.add(Math.floor(chance() * size));
  return [...keys];
}

const entityName = (stand: Stand, key: number) => keyName(stand.work, `entity-${key}`);
const partnersName = (stand: Stand, size: number) => keyName(stand.work, `partners-${size}`);
const wideName = (stand: Stand, key: number) => keyName(stand.work, `wide-${growthOf(stand).size}-${key}`);

const newPartner = ({ work, load }: Stand, count: number): CallOptions => ({
  idempotencyKey: `${work.run}-${work.step}-${load.index}-${count}`,
  keyLifeMs,
});

// ---- before

function prepare(stand: Stand): Promise<void> {
  const { axis, size } = growthOf(stand);
  switch (axis) {
    // Not in the journal: its million entries are known without it.
    case 'entities':
      return mine(stand, size, (key) => stand.post.entity(Counter, entityName(stand, key)).add({ by: 1 }));
    case 'fewOfEntities': {
      const keys = few(size);
      return mine(stand, keys.length, (nth) => noted(stand, entityName(stand, keys[nth] ?? 0)));
    }
    case 'partners': {
      const name = partnersName(stand, size);
      return mine(stand, size, (nth) => noted(stand, name, newPartner(stand, nth)));
    }
    // Its calls are all measured and soon over, so as many calls of another entity warm up the code.
    case 'firstContacts': {
      const name = keyName(stand.work, `warm-${size}-${stand.load.index}`);
      return inGroups(stand.load.callsMax ?? 0, (nth) => noted(stand, name, newPartner(stand, -1 - nth)));
    }
    case 'state':
      return mine(stand, wideCount, (key) => stand.post.entity(Wide, wideName(stand, key)).fill({ bytes: size }), 8);
  }
}

/** This generator's part. */
function mine(
  { load }: Stand,
  count: number,
  task: (index: number) => Promise<unknown>,
  atOnce?: number,
): Promise<void> {
  return inGroups(
    Math.max(0, Math.ceil((count - load.index) / load.of)),
    (nth) => task(load.index + nth * load.of),
    atOnce,
  );
}

async function noted(stand: Stand, name: string, options: CallOptions = {}): Promise<void> {
  await stand.post.entity(Counter, name).add({ by: 1 }, options);
  stand.journal.acked(name);
}

// ---- measured

interface Calls {
  readonly nameOf: (key: number) => string;
  /** Sets the lane's key. */
  readonly call: (lane: Lane) => Promise<unknown>;
}

function callsOf(stand: Stand): Calls {
  const { axis, size } = growthOf(stand);
  const { chance, post } = stand;
  const any = (count: number) => Math.floor(chance() * count);
  const entities = (pick: () => number): Calls => {
    const nameOf = (key: number) => entityName(stand, key);
    // A reference is made for each call, which costs the same at every size. A million references would be memory of the instrument.
    return { nameOf, call: (lane) => post.entity(Counter, nameOf(picked(lane, pick()))).add({ by: 1 }) };
  };
  const one = partnersName(stand, size);
  const hot = post.entity(Counter, one);
  switch (axis) {
    case 'entities':
      return entities(() => any(size));
    case 'fewOfEntities': {
      const keys = few(size);
      return entities(() => keys[any(keys.length)] ?? 0);
    }
    case 'partners':
      return { nameOf: () => one, call: () => hot.add({ by: 1 }) };
    case 'firstContacts': {
      let count = 0;
      return { nameOf: () => one, call: () => hot.add({ by: 1 }, newPartner(stand, count++)) };
    }
    case 'state': {
      const wide = Array.from({ length: wideCount }, (_, key) => post.entity(Wide, wideName(stand, key)));
      return {
        nameOf: (key) => wideName(stand, key),
        call: (lane) => (wide[picked(lane, any(wideCount))] as (typeof wide)[0]).add({ by: 1 }),
      };
    }
  }
}

function picked(lane: Lane, key: number): number {
  lane.key = key;
  return key;
}

function run(stand: Stand) {
  const { nameOf, call } = callsOf(stand);
  const journal = stand.journal.numbered(nameOf);
  return drive(call, stand.load, {
    ended: ({ key }) => journal.acked(key),
    failed: ({ key }, error) => journal.failed(key, error),
  });
}

// ---- afterwards

function check(stand: Stand, entries: Entries): Promise<Verdict> {
  const sizes = entitySizes(stand.work.keys);
  const prefix = entityName(stand, 0).slice(0, -1);
  const wide = keyName(stand.work, 'wide-');
  return judge(entries, async (name) => {
    if (name.startsWith(wide)) return stand.post.entity(Wide, name).count();
    const count = await stand.post.entity(Counter, name).count();
    if (!name.startsWith(prefix)) return count;
    const key = Number(name.slice(prefix.length));
    return count - sizes.filter((size) => key < size).length;
  });
}

export const growth: Scenario = {
  name: 'growth',
  summary: 'durable increments with ever more entities, partners of one entity, or bytes of state',
  unit: 'turns',
  isDurable: true,
  defaults: {
    store: { kind: 'lmdb' },
    keys: 1_000_000,
    partners: 100_000,
    stateBytes: 1_000_000,
    concurrency: 256,
    durationMs: 5_000,
    repeats: 3,
    floors: 'main',
  },
  isOnce: true,
  steps,
  prepare,
  run,
  check,
};
