/**
 * What does an entity that is in memory and idle cost beyond its state? A million of them, ten fields each.
 *
 *     npm run perf -- idle [--count 1000000]        (run by node with --expose-gc for exact figures)
 *
 * The floor is the same states in a plain Map. Entities are activated through the worker, each by a turn of its own.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embed, MemoryStore, machineEnvironment, silentLog } from '../runtime/index.ts';
import { Ten, ten } from './counter.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function usedBytes(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  return heapUsed + Math.max(arrayBuffers, external);
}

export async function idle({ count }: { count: number }): Promise<object> {
  const states = plainStates(count);
  const stateBytes = states.bytes / count;
  states.map.clear();
  const store = new StoreOutside();
  const cluster = await embed({
    behaviours: [ten],
    store,
    environment: machineEnvironment(silentLog),
    limits: { activationCountMax: count + 1, idleMs: 86_400_000 },
  });
  const before = usedBytes();
  const batch = 2_000;
  for (let index = 0; index < count; index += batch) {
    await Promise.all(
      Array.from({ length: Math.min(batch, count - index) }, (_, offset) =>
        cluster.entity(Ten, `entity-${index + offset}`).touch(),
      ),
    );
    if (index % 100_000 === 0) process.stderr.write(`  ${index} activated\n`);
  }
  const activated = cluster.workers.reduce((sum, worker) => sum + worker.figures.activations, 0);
  // The sweep passes everything within 16 s; what has rested for 2 s gives back all but its state.
  await new Promise((resolve) => setTimeout(resolve, 20_000));
  const bytes = (usedBytes() - before) / activated;
  await cluster.close();
  return {
    question: 'idle',
    count: activated,
    stateBytes: Math.round(stateBytes),
    entityBytes: Math.round(bytes),
    beyondState: Math.round(bytes - stateBytes),
  };
}

function plainStates(count: number): { map: Map<string, unknown>; bytes: number } {
  const before = usedBytes();
  const map = new Map<string, unknown>();
  for (let index = 0; index < count; index++) map.set(`ten/entity-${index}`, Ten.initial(`entity-${index}`));
  return { map, bytes: usedBytes() - before };
}

/** Accepts everything and keeps nothing: what a real store keeps is not in this process's heap. */
class StoreOutside extends MemoryStore {
  override commit(group: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
    return Promise.resolve(group.map(() => 'committed' as const));
  }
}
