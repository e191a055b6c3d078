/**
 * `npm run example -- <name> [options]`: runs an example for a while, embedded or on a cluster whose workers are killed and whose
 * entities are moved, and says whether all was right: a table, and a line of JSON.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { exitCodeOf, failureOf } from '../../runtime/cli/failure.ts';
import { Output } from '../../runtime/cli/output.ts';
import { Stopping } from '../../runtime/cli/run-until-signal.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { type Chance, chanceOf } from '../../runtime/testing/chance.ts';
import { examples } from './all.ts';
import type { Findings, Story } from './example.ts';
import { type Options, optionsOf } from './options.ts';
import { openStage, type Stage } from './stage.ts';
import { Tally, type Times } from './tally.ts';

const output = new Output(false);
const sayMs = process.stderr.isTTY ? 500 : 5_000;
const anomaliesShown = 10;

/** Stopped by a signal. */
const stoppedCode = 130;

output.exit(await main(process.argv.slice(2)));

async function main(words: readonly string[]): Promise<number> {
  try {
    const options = optionsOf(words, examples);
    if (typeof options !== 'string') return await perform(options);
    output.line(options);
    return 0;
  } catch (error) {
    const failure = failureOf(error);
    output.note(failure.message);
    if (failure.advice !== undefined) output.note(`  ${failure.advice}`);
    return exitCodeOf(failure);
  }
}

async function perform(options: Options): Promise<number> {
  const stop = new AbortController();
  const stopping = new Stopping({ environment: machineEnvironment(silentLog), output });
  void stopping.asked.then(() => stop.abort());
  const stage = await openStage(options, (text) => output.note(text));
  try {
    if (stop.signal.aborted) return stoppedCode;
    const { times, findings } = await play(options, stage, stop.signal);
    report(options, times, findings);
    return findings.anomalies.length === 0 ? 0 : 1;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    output.note('stopped');
    return stoppedCode;
  } finally {
    await stage.close();
  }
}

async function play(
  options: Options,
  stage: Stage,
  signal: AbortSignal,
): Promise<{ times: Times; findings: Findings }> {
  const { example, clients, seconds } = options;
  const chance = chanceOf(options.seed);
  const { cluster } = stage;
  const note = (text: string) => output.note(text);
  const story = await example.open({ cluster, options: options.own, chance, clients, note, signal });
  const tally = new Tally();
  const over = new AbortController();
  const end = over.signal;
  const stop = () => over.abort();
  signal.addEventListener('abort', stop);
  const timer = setTimeout(stop, seconds * 1_000);
  // What fails ends the others too.
  const untilBroken = <Result>(work: Promise<Result>) =>
    work.catch((error: unknown) => {
      stop();
      throw error;
    });
  const work = [
    ...Array.from({ length: clients }, () => client(story, tally, end)),
    story.beside?.(end) ?? Promise.resolve(),
    ...faults(options, { stage, story, tally, chance: chanceOf(options.seed + 1), end }),
    progress(options, { story, tally, end }),
  ].map(untilBroken);
  const failed = (await Promise.allSettled(work)).find((one) => one.status === 'rejected');
  clearTimeout(timer);
  const times = tally.times(seconds);
  if (failed !== undefined) throw failed.reason;
  signal.throwIfAborted();
  await stage.whole();
  output.note('waiting for all to end, and comparing');
  return { times, findings: await story.finish() };
}

async function client(story: Story, tally: Tally, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    const startedMs = performance.now();
    await story.transact();
    tally.add(performance.now() - startedMs);
  }
}

interface Scene {
  readonly stage: Stage;
  readonly story: Story;
  readonly tally: Tally;
  readonly chance: Chance;
  readonly end: AbortSignal;
}

function faults({ killEveryMs, moveEveryMs }: Options, { stage, story, tally, chance, end }: Scene): Promise<void>[] {
  const kill = async () => {
    if (stage.kill(chance) === undefined) tally.missedKills += 1;
    else tally.kills += 1;
  };
  const move = async () => {
    if (await stage.move(story.anyAddress(), chance)) tally.moves += 1;
  };
  return [every(killEveryMs, kill, end), every(moveEveryMs, move, end)];
}

async function every(ms: number | undefined, act: () => Promise<void>, end: AbortSignal): Promise<void> {
  for (let round = 1, startedMs = performance.now(); ms !== undefined && !end.aborted; round += 1) {
    await until(Math.max(0, startedMs + round * ms - performance.now()), end);
    if (!end.aborted) await act();
  }
}

async function until(ms: number, end: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal: end }).catch(() => undefined);
}

async function progress(
  { example, seconds }: Options,
  { story, tally, end }: Pick<Scene, 'story' | 'tally' | 'end'>,
): Promise<void> {
  const startedMs = performance.now();
  while (!end.aborted) {
    await until(sayMs, end);
    const at = Math.min(seconds, Math.round((performance.now() - startedMs) / 1_000));
    const more = [tally.text, story.progress?.() ?? ''].filter((text) => text !== '');
    const text = [`${at} of ${seconds} s`, `${tally.count.toLocaleString('en')} ${example.unit}`, ...more].join(' · ');
    if (process.stderr.isTTY) output.progress(end.aborted ? '' : text);
    else output.note(text);
  }
}

function report({ example, workers, store, fsync }: Options, times: Times, { rows, facts, anomalies }: Findings): void {
  const { transactions, perS, p50Ms, p99Ms, mostMs, kills, moves } = times;
  const place = workers === 0 ? 'embedded' : `${workers} workers`;
  const table: (readonly [string, number | string])[] = [
    [example.unit, transactions],
    ['a second', perS],
    ['p50, ms', p50Ms],
    ['p99, ms', p99Ms],
    ['slowest, ms', mostMs],
    ['workers killed', kills],
    ['entities moved', moves],
    ...rows,
    ['anomalies', anomalies.length],
  ];
  output.heading(`${example.name}, ${place} on ${store}${store === 'redis' ? ` (${fsync})` : ''}`);
  const texts = table.map(([what, figure]) => [
    what,
    typeof figure === 'number' ? figure.toLocaleString('en') : figure,
  ]);
  output.table([{ title: '' }, { title: '', isNumber: true }], texts, '  ');
  for (const text of anomalies.slice(0, anomaliesShown)) output.line(`  ! ${text}`);
  if (anomalies.length > anomaliesShown) output.line(`  ! and ${anomalies.length - anomaliesShown} more`);
  output.line();
  const durability = store === 'redis' ? { store, fsync } : { store };
  output.json({ example: example.name, workers, ...durability, ...times, ...facts, anomalies: anomalies.length });
}
