/**
 * Overload: more calls than the store can commit, at a constant rate, with a pause of the store: how many are answered in time, the
 * envelopes per call, the memory, and the time to recover.
 *
 * The store commits a fixed number per second, so that the saturation point is known and the generator has capacity left. Workers and
 * generator are separate processes, so that their costs are told apart.
 */
import { Counter } from '../entities.ts';
import { drive } from '../load/load.ts';
import { type Measured, seriesMs, stallMsOf } from '../plan.ts';
import { callers, keyName, median, percentile, type Scenario, type Stand, type Steps } from '../scenario.ts';
import { checkCounts } from './counter.ts';

/** The capacity of the store, commits per second. */
const capacityPerS = 500;
const deadlineMs = 5_000;
/** Offered loads, as multiples of `capacityPerS`. */
const offered = [0.5, 1, 2, 3, 5] as const;
/** Goodput has recovered when one second reaches this share of the goodput before the stall. */
const backPart = 0.9;

const stallAtOf = (durationMs: number) => Math.round((durationMs - stallMsOf(durationMs)) / 2);

async function run(stand: Stand): Promise<Measured> {
  const { work, load, post, pick } = stand;
  const of = callers(stand, Counter);
  const journal = stand.journal.numbered((key) => keyName(work, key));
  const ratePerS = (capacityPerS * Number(work.step.split(' ')[0])) / load.of;
  const [stallAtMs, stallMs] = [stallAtOf(load.durationMs), stallMsOf(load.durationMs)];
  const before = post.counts.messagesOut;
  let made = 0;
  // No call waits for the end of another: there are more lanes than calls in flight.
  const lanes = Math.ceil((2 * ratePerS * deadlineMs) / 1_000);
  const measured = await drive(
    (lane) => {
      made += 1;
      lane.key = pick();
      return of(lane.key).add({ by: 1 }, { deadlineMs });
    },
    { ...load, ratePerS, lanes },
    {
      ended: ({ key }) => journal.acked(key),
      failed: ({ key }, error) => journal.failed(key, error),
    },
  );
  const { series } = measured;
  const extra = {
    offeredPerS: [ratePerS],
    envelopesPerCall: [(post.counts.messagesOut - before) / made],
    recoveryMs: [recoveryMs(series, stallAtMs, stallAtMs + stallMs)],
    goodBeforePerS: [perS(series, 0, stallAtMs)],
    goodAfterPerS: [perS(series, stallAtMs + stallMs + deadlineMs, load.durationMs)],
  };
  return { ...measured, extra };
}

function perS(series: readonly number[], fromMs: number, toMs: number): number {
  const [from, to] = [Math.ceil(fromMs / seriesMs), Math.floor(toMs / seriesMs)];
  // The series is shorter if nothing was answered at the end.
  return to <= from
    ? 0
    : (series.slice(from, to).reduce((sum, one) => sum + one, 0) * 1_000) / ((to - from) * seriesMs);
}

/** Time from the end of the stall to a second with the earlier goodput; the whole rest of the run if there is none. */
function recoveryMs(series: readonly number[], stallAtMs: number, endMs: number): number {
  const wanted = perS(series, 0, stallAtMs) * backPart;
  for (let at = endMs; at + 1_000 <= series.length * seriesMs; at += seriesMs)
    if (perS(series, at, at + 1_000) >= wanted) return at - endMs;
  return Math.max(0, series.length * seriesMs - endMs);
}

const round = (value: number) => Math.round(value * 100) / 100;
const sum = (values: readonly number[] = []) => Math.round(values.reduce((all, one) => all + one, 0));

export const overload: Scenario = {
  name: 'overload',
  summary: `calls at 0.5 to 5 times the capacity of a store (${capacityPerS} commits per second), which hangs for 5 s`,
  unit: 'calls',
  hasOtherUnit: true,
  ownLoad: `${offered[0]} to ${offered.at(-1)} times ${capacityPerS}/s`,
  isDurable: true,
  defaults: {
    keys: 100_000,
    repeats: 1,
    warmupMs: 5_000,
    durationMs: 25_000,
    nats: { kind: 'own' },
    isTogether: true,
    connections: 8,
    storePerS: capacityPerS,
    floors: 'none',
  },
  faults: (durationMs) => [{ kind: 'stall', atMs: stallAtOf(durationMs) }],
  isOnce: true,
  steps: () => offered.map((part) => ({ name: `${part} times` })) as unknown as Steps,
  run,
  check: checkCounts,
  facts: ({ envelopesPerCall = [], heldBytes = [], heapBytes = [], recoveryMs = [], ...extra }) => ({
    offeredPerS: sum(extra.offeredPerS),
    goodBeforePerS: sum(extra.goodBeforePerS),
    goodAfterPerS: sum(extra.goodAfterPerS),
    recoveryMs: median(recoveryMs),
    envelopesPerCall: round(median(envelopesPerCall)),
    heldBytesMost: percentile(heldBytes, 100),
    heapBytesMost: percentile(heapBytes, 100),
  }),
};
