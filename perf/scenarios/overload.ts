/**
 * More calls than the store takes, at a constant rate, while the store stands still for a part of the time: how many are answered in
 * time, how many envelopes each costs, what memory that takes, and how long until all is as before.
 *
 * The store takes so many commits a second and no more, so that what saturates is known and leaves the generator room. Worker and
 * clients share the process, each side with a transport that counts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { countingTransport, newCounts } from '../counting.ts';
import { Counter, counter } from '../entities.ts';
import { drive } from '../load.ts';
import { type Measured, seriesMs } from '../plan.ts';
import { keyName, median, percentile, type Scenario, type Stand, type Steps } from '../scenario.ts';

/** What the store takes, commits a second. */
const capacityPerS = 500;
const deadlineMs = 5_000;
const clientCount = 8;
/** Parts of `capacityPerS` that are offered. */
const offered = [0.5, 1, 2, 3, 5] as const;
const stallMs = (durationMs: number) => Math.min(5_000, durationMs / 4);
/** Goodput is back when a second has this part of what it was before the store stood still. */
const backPart = 0.9;

class SlowStore extends MemoryStore {
  #freeAt = 0;

  /** Nothing is answered before that. */
  stallUntil(at: number): void {
    this.#freeAt = Math.max(this.#freeAt, at);
  }

  override async commit(group: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
    this.#freeAt = Math.max(this.#freeAt, performance.now()) + (group.length * 1_000) / capacityPerS;
    await pause(this.#freeAt - performance.now());
    return super.commit(group);
  }
}

async function run({ work, load }: Stand): Promise<Measured> {
  const environment = machineEnvironment(silentLog);
  const [store, wire, counts] = [new SlowStore(), new MemoryTransport(environment), newCounts()];
  const base = { cluster: work.run, environment, transport: wire };
  const worker = await serve({ ...base, behaviours: [counter], store, name: 'one' });
  await worker.ready();
  const transport = countingTransport(wire, counts);
  const clients: RemoteCluster[] = [];
  for (let client = 0; client < clientCount; client++) clients.push(await connect({ ...base, transport }));
  let made = 0;
  const heldBytes: number[] = [];
  const heapBytes: number[] = [];
  const watch = setInterval(() => {
    heldBytes.push(worker.workers[0]?.held.bytes ?? 0);
    heapBytes.push(process.memoryUsage().heapUsed);
  }, seriesMs);
  const ratePerS = capacityPerS * Number(work.step.split(' ')[0]);
  const stall = stallMs(load.durationMs);
  const stallAtMs = (load.durationMs - stall) / 2;
  const stalling = setTimeout(
    () => store.stallUntil(performance.now() + stall),
    load.delayMs + load.warmupMs + stallAtMs,
  );
  const before = counts.messagesOut;
  const call = () => {
    const caller = clients[made++ % clientCount]?.entity(Counter, keyName(work, Math.floor(Math.random() * work.keys)));
    return caller?.add({ by: 1 }, { deadlineMs });
  };
  // No call waits for another one to end: as many as may be under way, and more.
  const lanes = Math.ceil((2 * ratePerS * deadlineMs) / 1_000);
  const measured = await drive(call, { ...load, ratePerS, lanes });
  clearTimeout(stalling);
  clearInterval(watch);
  const extra = {
    offeredPerS: [ratePerS],
    envelopesPerCall: [(counts.messagesOut - before) / made],
    heldBytes,
    heapBytes,
    recoveryMs: [recoveryMs(measured.series, stallAtMs, stallAtMs + stall)],
    goodBeforePerS: [perS(measured.series, 0, stallAtMs)],
    goodAfterPerS: [perS(measured.series, stallAtMs + stall + deadlineMs, load.durationMs)],
  };
  for (const client of clients) await client.close();
  worker.member.stop();
  await wire.close();
  return { ...measured, extra };
}

function perS(series: readonly number[], fromMs: number, toMs: number): number {
  const slots = series.slice(Math.ceil(fromMs / seriesMs), Math.floor(toMs / seriesMs));
  return slots.length === 0 ? 0 : (slots.reduce((sum, one) => sum + one, 0) * 1_000) / (slots.length * seriesMs);
}

/** From the end of the stall until a second of answers is as good as before; as long as was measured if none is. */
function recoveryMs(series: readonly number[], stallAtMs: number, endMs: number): number {
  const wanted = perS(series, 0, stallAtMs) * backPart;
  for (let at = endMs; at + 1_000 <= series.length * seriesMs; at += seriesMs)
    if (perS(series, at, at + 1_000) >= wanted) return at - endMs;
  return series.length * seriesMs - endMs;
}

const round = (value: number) => Math.round(value * 100) / 100;

export const overload: Scenario = {
  name: 'overload',
  summary: `calls at 0.5 to 5 times what a store takes (${capacityPerS} commits a second), which stands still for 5 s`,
  unit: 'calls',
  hasOtherUnit: true,
  isDurable: true,
  defaults: { keys: 100_000, repeats: 1, warmupMs: 5_000, durationMs: 25_000 },
  isOnce: true,
  steps: () => offered.map((part) => ({ name: `${part} times` })) as unknown as Steps,
  run,
  facts: ({ offeredPerS = [], envelopesPerCall = [], heldBytes = [], heapBytes = [], ...extra }) => ({
    offeredPerS: median(offeredPerS),
    goodBeforePerS: Math.round(median(extra.goodBeforePerS ?? [])),
    goodAfterPerS: Math.round(median(extra.goodAfterPerS ?? [])),
    recoveryMs: median(extra.recoveryMs ?? []),
    envelopesPerCall: round(median(envelopesPerCall)),
    heldBytesMost: percentile(heldBytes, 100),
    heapBytesMost: percentile(heapBytes, 100),
  }),
};
