/**
 * A data folder with a million entities, one of which has a million turns, and what `list`, `log` and `doctor` need for it: time to
 * the first line, memory, and whether they end when nobody reads on.
 *
 * `--entities N` is how many. They are made here, through the embedded runtime, in as many turns.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { behaviour, command, entity, unchecked } from '../../core/index.ts';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { sleep, usedBy } from './program.ts';
import type { Given, Result, Scenario } from './scenario.ts';

const program = join(import.meta.dirname, '..', '..', '.build', 'faults', 'runtime', 'cli', 'main.js');
/** Calls under way while the folder is filled: many, so that groups are large. */
const atOnce = 2_048;
/** Entities of the million that stay in memory meanwhile. */
const activationCountMax = 50_000;
const lookMs = 10;
/** A command that takes longer is ended, and that is a problem. */
const limitMs = 300_000;

const Visit = entity('visit', {
  initial: () => ({ count: 0, last: 0 }),
  operations: { add: command(unchecked<{ by: number }>(), unchecked<number>()) },
});

const visit = behaviour(
  Visit,
  {
    add(turn, { by }) {
      turn.state.count += 1;
      turn.state.last = by;
      return turn.state.count;
    },
  },
  { historyMs: 604_800_000 },
);

/** So many entities with a turn each, and one with as many turns. */
async function fill(folder: string, count: number): Promise<void> {
  const cluster = await embed({
    behaviours: [visit],
    store: folder,
    limits: { activationCountMax },
    environment: machineEnvironment(silentLog),
  });
  const hot = cluster.entity(Visit, 'hot');
  let next = 0;
  const lane = async () => {
    for (let one = next++; one < 2 * count; one = next++) {
      const called = one % 2 === 0 ? cluster.entity(Visit, `v${String(one / 2).padStart(9, '0')}`) : hot;
      await called.add({ by: one });
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  await cluster.close();
}

interface Seen {
  readonly firstMs: number;
  readonly endMs: number;
  readonly cpuMs: number;
  readonly lines: number;
  /** Most at a time: all of it, and without what is mapped from files. */
  readonly rssMb: number;
  readonly anonMb: number;
  readonly code: number | null;
}

function memoryOf(pid: number): { rssKb: number; anonKb: number } {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { rssKb: of('VmHWM'), anonKb: of('RssAnon') };
  } catch {
    return { rssKb: 0, anonKb: 0 };
  }
}

/** Run a command; with `lines`, read so many of them and go, as `head` does. */
async function look(words: readonly string[], lines = Number.POSITIVE_INFINITY): Promise<Seen> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [pid, seen] = [child.pid ?? 0, { firstMs: 0, lines: 0, rssKb: 0, anonKb: 0, cpuMs: 0 }];
  child.stdout.on('data', (bytes: Buffer) => {
    if (seen.firstMs === 0) seen.firstMs = performance.now() - startedAt;
    for (const byte of bytes) if (byte === 10) seen.lines += 1;
    if (seen.lines >= lines) child.stdout.destroy();
  });
  const late = setTimeout(() => child.kill('SIGKILL'), limitMs);
  while (child.exitCode === null && child.signalCode === null) {
    const { rssKb, anonKb } = memoryOf(pid);
    seen.rssKb = Math.max(seen.rssKb, rssKb);
    seen.anonKb = Math.max(seen.anonKb, anonKb);
    seen.cpuMs = Math.max(seen.cpuMs, usedBy(pid).ranMs);
    await Promise.race([ended, sleep(lookMs)]);
  }
  clearTimeout(late);
  const [code] = await ended;
  const { firstMs, cpuMs } = seen;
  const endMs = performance.now() - startedAt;
  return { firstMs, endMs, cpuMs, lines: seen.lines, code, rssMb: seen.rssKb / 1_024, anonMb: seen.anonKb / 1_024 };
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

function textOf({ firstMs, endMs, cpuMs, lines, rssMb, anonMb }: Seen): string {
  const memory = `${Math.round(rssMb)} MB (${Math.round(anonMb)} MB anonymous)`;
  return `first line ${seconds(firstMs)}, ended ${seconds(endMs)}, CPU ${seconds(cpuMs)}, ${memory}, ${lines.toLocaleString('en')} lines read`;
}

async function run({ entities = 1_000_000, say }: Given): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-large-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const problems: string[] = [];
  const measured: Record<string, string> = {};
  const at = ['--data', folder];
  const see = async (name: string, words: readonly string[], lines?: number): Promise<Seen> => {
    const seen = await look([...words, ...at], lines);
    measured[name] = textOf(seen);
    say(`${name}: ${measured[name]}`);
    if (lines === undefined && seen.code !== 0) problems.push(`${name} ended with ${seen.code}`);
    if (seen.endMs >= limitMs) problems.push(`${name} did not end`);
    return seen;
  };
  try {
    const startedAt = performance.now();
    await fill(folder, entities);
    measured.made = `${entities.toLocaleString('en')} entities and as many turns of one more in ${seconds(performance.now() - startedAt)}`;
    say(measured.made);
    await see('list | head -1', ['list'], 1);
    const all = await see('list', ['list']);
    if (all.lines < entities + 1) problems.push(`list told of ${all.lines} entities`);
    await see('log --json | head -1', ['log', 'visit/hot', '--json'], 1);
    const turns = await see('log --json', ['log', 'visit/hot', '--json']);
    if (turns.lines < entities) problems.push(`log told of ${turns.lines} turns`);
    await see('doctor', ['doctor']);
  } finally {
    remove();
    process.removeListener('exit', remove);
  }
  return { scenario: 'large', measured, verdict: undefined, problems };
}

export const large: Scenario = {
  name: 'large',
  what: 'list, log and doctor over 1,000,000 entities and as many turns of one; --entities N',
  run,
};
