/**
 * The memory of an idle entity beyond its state, and what remains after it is passivated.
 *
 * The cluster runs in the measuring process, so that its memory can be measured. The floor is the same states in a plain Map. The
 * store accepts and keeps nothing, because the content of a real one would not be in this heap.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { Ten, ten } from '../entities.ts';
import { drive } from '../load/load.ts';
import type { Measured } from '../plan.ts';
import { median, type Scenario, type Stand } from '../scenario.ts';

const idleMs = 3_600_000;
/** The worker's sweep passes over all entities in memory in this time. */
const aroundMs = (count: number) => 1_500 + Math.min(16_000, count / 20);
/** An entity that is idle for this long frees all memory but its state. */
const restMs = 2_000;

class StoreOutside extends MemoryStore {
  override commit(group: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
    return Promise.resolve(group.map(() => 'committed' as const));
  }
}

async function run({ work, load }: Stand): Promise<Measured> {
  const collect = collector();
  const count = work.keys;
  const stateBytes = plainBytes(count, collect) / count;
  const machine = machineEnvironment(silentLog);
  let passedMs = 0;
  const cluster = await embed({
    behaviours: [ten],
    store: new StoreOutside(),
    // The clock is set forward, so that the run need not wait for an hour until idle entities are passivated.
    environment: { ...machine, now: () => machine.now() + passedMs, steady: () => machine.steady() + passedMs },
    limits: { activationCountMax: count + 1, idleMs },
  });
  const before = usedBytes(collect);
  let next = 0;
  const measured = await drive(() => cluster.entity(Ten, `entity-${next++}`).touch(), {
    ...load,
    warmupMs: 0,
    durationMs: 600_000,
    callsMax: count,
  });
  await pause(restMs + aroundMs(count));
  const entityBytes = (usedBytes(collect) - before) / count;
  passedMs = 2 * idleMs;
  // The sweep passes over fewer entities per second when fewer are left.
  await pause(3 * aroundMs(count));
  const passivatedBytes = (usedBytes(collect) - before) / count;
  await cluster.close();
  const extra = { stateBytes: [stateBytes], entityBytes: [entityBytes], passivatedBytes: [passivatedBytes] };
  return { ...measured, extra };
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

function usedBytes(collect: () => void): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  return heapUsed + Math.max(arrayBuffers, external);
}

function plainBytes(count: number, collect: () => void): number {
  const before = usedBytes(collect);
  const map = new Map<string, unknown>();
  for (let index = 0; index < count; index++) map.set(`perf-ten/entity-${index}`, Ten.initial(`entity-${index}`));
  const bytes = usedBytes(collect) - before;
  return map.size === count ? bytes : 0;
}

export const idle: Scenario = {
  name: 'idle',
  summary: 'entities of ten fields, each called once and left idle: their cost in memory',
  unit: 'entities',
  hasOtherUnit: true,
  isDurable: false,
  defaults: { keys: 1_000_000, repeats: 1, concurrency: 2_048, warmupMs: 0 },
  isOnce: true,
  steps: () => [{ name: 'idle' }],
  run,
  facts: ({ stateBytes = [], entityBytes = [], passivatedBytes = [] }) => ({
    stateBytes: Math.round(median(stateBytes)),
    entityBytes: Math.round(median(entityBytes)),
    beyondStateBytes: Math.round(median(entityBytes) - median(stateBytes)),
    passivatedBytes: Math.round(median(passivatedBytes)),
  }),
};
