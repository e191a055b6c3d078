/**
 * What `doctor` looks at. Each check is one finding: fine, worth knowing, or wrong.
 *
 * Nothing is changed, but for one thing: where nobody has the folder open it is opened for writing for a moment, since
 * only that shows that an app could.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isSkerryError } from '../../core/errors.ts';
import { typeOf } from '../../core/message.ts';
import type { Reading } from '../inspect.ts';
import { openLmdb } from '../stores/lmdb.ts';
import { shownPath } from './app.ts';
import type { Given } from './command.ts';
import { greet } from './control-client.ts';
import { failureOf } from './failure.ts';
import { hasData, remembered } from './folder.ts';
import { lookInto, type Sight } from './look.ts';
import type { Hello } from './requests.ts';
import { span } from './time.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'note' | 'wrong';
  readonly text: string;
  readonly figures?: object;
}

const nodeLeast = [20, 19] as const;
const diskBytesLeast = 100 * 1024 * 1024;
/** A timer that is late by this, or a message that waits for this, while an app runs, is wrong, ms. */
const lateMs = 60_000;
const pageCount = 1_000;

export async function* findings(given: Given): AsyncIterable<Finding> {
  yield nodeVersion();
  yield dataFolder(given.folder);
  if (!hasData(given.folder)) return;
  yield await freeDisk(given.folder);
  const user = await userOf(given);
  yield user.finding;
  yield rememberedApp(given.folder);
  try {
    const inside = await lookInto(given.folder, (sight) => contents(given, sight, user.isRunning));
    yield* inside;
  } catch (error) {
    yield wrong('format', failureOf(error).message);
  }
}

const ok = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'ok',
  text,
  ...(figures && { figures }),
});
const note = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'note',
  text,
  ...(figures && { figures }),
});
const wrong = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'wrong',
  text,
  ...(figures && { figures }),
});

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isEnough = major > nodeLeast[0] || (major === nodeLeast[0] && minor >= nodeLeast[1]);
  const figures = { version: process.versions.node };
  return isEnough
    ? ok('node', process.versions.node, figures)
    : wrong('node', `${process.versions.node}; Skerry needs ${nodeLeast.join('.')} or later`, figures);
}

function dataFolder(folder: string): Finding {
  if (!existsSync(folder))
    return wrong('folder', `${folder} does not exist: name it with --data, or make it with skerry run <app.ts>`);
  if (!hasData(folder)) return wrong('folder', `${folder} holds no data of Skerry: name another with --data`);
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    accessSync(join(folder, 'data.mdb'), constants.R_OK | constants.W_OK);
  } catch {
    return wrong('folder', `${shownPath(folder)} cannot be read and written by this user`);
  }
  return ok('folder', `${shownPath(folder)}, readable and writable`);
}

async function freeDisk(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const dataBytes = statSync(join(folder, 'data.mdb')).size;
  const text = `${bytesText(freeBytes)} free, ${bytesText(dataBytes)} of data`;
  return freeBytes >= diskBytesLeast
    ? ok('disk', text, { freeBytes, dataBytes })
    : wrong('disk', `${text}: make room before the store refuses`, { freeBytes, dataBytes });
}

function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** step;
  return `${value >= 100 || step === 0 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

/** Who has the folder open: an app that answers, somebody who does not, or nobody. */
async function userOf({ folder, environment }: Given): Promise<{ finding: Finding; isRunning: boolean }> {
  let running: Hello | undefined;
  try {
    running = await greet(folder);
  } catch (error) {
    return { finding: wrong('app', failureOf(error).message), isRunning: false };
  }
  if (running !== undefined) {
    const { pid, app, startedAt, figures } = running;
    const text = `${basename(app)} runs in process ${pid}, up ${span(environment.now() - startedAt)}, ${plural(figures.activations, 'entity', 'entities')} in memory`;
    return { finding: ok('app', text, running), isRunning: true };
  }
  try {
    await (await openLmdb(folder, { owner: 'skerry doctor' })).close();
  } catch (error) {
    const { message } = failureOf(error);
    // A living process, or the store would have passed it over: an app that embeds Skerry itself.
    if (isSkerryError(error, 'store-in-use'))
      return { finding: note('app', message.replace(/: .*/, ', which commands cannot ask')), isRunning: true };
    return { finding: wrong('app', `an app could not open it: ${message}`), isRunning: false };
  }
  return { finding: ok('app', 'none runs; nobody has the folder open'), isRunning: false };
}

function rememberedApp(folder: string): Finding {
  try {
    const found = remembered(folder);
    if (found === undefined) return note('remembers', 'no app: call works once skerry run <app.ts> was used here');
    const name = shownPath(found.app);
    return existsSync(found.app)
      ? ok('remembers', name, { app: found.app })
      : wrong('remembers', `${name}, which is gone: skerry run its new place`, { app: found.app });
  } catch (error) {
    return wrong('remembers', failureOf(error).message);
  }
}

async function contents(given: Given, sight: Sight, isRunning: boolean): Promise<Finding[]> {
  const found = [ok('format', `readable, ${sight.store.partitions} partitions`)];
  const { counts, dead } = await census(given, sight);
  found.push(entityCounts(counts), deadLetters(dead));
  found.push(...(await unfinished(given, sight, isRunning)));
  return found;
}

type Counts = ReadonlyMap<string, number>;

/** Entities and dead letters by type: reads every entity. */
async function census({ output }: Given, { inspector }: Sight): Promise<{ counts: Counts; dead: Counts }> {
  const counts = new Map<string, number>();
  const dead = new Map<string, number>();
  let seen = 0;
  for await (const address of inspector.list()) {
    const type = typeOf(address);
    counts.set(type, (counts.get(type) ?? 0) + 1);
    const letters = (await inspector.get(address, { activityCountMax: 0 }))?.dead.length ?? 0;
    if (letters > 0) dead.set(type, (dead.get(type) ?? 0) + letters);
    seen += 1;
    if (seen % 1_000 === 0) output.live(`looking at entity ${seen.toLocaleString('en')}`);
  }
  output.live('');
  return { counts, dead };
}

function countsText(counts: Counts): string {
  return [...counts].map(([type, count]) => `${type} ${count.toLocaleString('en')}`).join(', ');
}

const plural = (count: number, one: string, many: string) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

const totalOf = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0);

function entityCounts(counts: Counts): Finding {
  return ok('entities', counts.size === 0 ? 'none yet' : countsText(counts), Object.fromEntries(counts));
}

function deadLetters(dead: Counts): Finding {
  if (dead.size === 0) return ok('dead letters', 'none', {});
  return wrong(
    'dead letters',
    `${totalOf(dead).toLocaleString('en')} (${countsText(dead)}): skerry dead list shows them`,
    Object.fromEntries(dead),
  );
}

/** What entities have still to do by themselves, from the store's list of those that want to be woken. */
async function unfinished({ environment }: Given, sight: Sight, isRunning: boolean): Promise<Finding[]> {
  const now = environment.now();
  const late = { count: 0, ms: 0 };
  const waiting = { messages: 0, effects: 0, entities: 0, ms: 0 };
  for await (const { address, wakeAt } of allWakes(sight.store)) {
    if (wakeAt > now) continue;
    if (wakeAt > 0) {
      late.count += 1;
      late.ms = Math.max(late.ms, now - wakeAt);
      continue;
    }
    const found = await sight.inspector.get(address, { activityCountMax: 0 });
    if (found === undefined || found.outbox.length + found.effects.length === 0) continue;
    waiting.entities += 1;
    waiting.messages += found.outbox.length;
    waiting.effects += found.effects.length;
    waiting.ms = Math.max(waiting.ms, now - found.at);
  }
  // While nothing runs, nothing can be on time.
  const verdict = (ms: number) => (isRunning && ms > lateMs ? wrong : note);
  const rest = isRunning ? '' : ': done when the app runs';
  const lateText = `${plural(late.count, 'entity has', 'entities have')} something due, for up to ${span(late.ms)}${rest}`;
  const kinds = [
    ...(waiting.messages > 0 ? [plural(waiting.messages, 'message', 'messages')] : []),
    ...(waiting.effects > 0 ? [plural(waiting.effects, 'effect', 'effects')] : []),
  ];
  const whose = plural(waiting.entities, 'entity', 'entities');
  const waitingText = `${kinds.join(' and ')} of ${whose}, waiting for at least ${span(waiting.ms)}${rest}`;
  return [
    late.count === 0 ? ok('timers', 'none overdue', late) : verdict(late.ms)('timers', lateText, late),
    waiting.entities === 0 ? ok('outboxes', 'empty', waiting) : verdict(waiting.ms)('outboxes', waitingText, waiting),
  ];
}

async function* allWakes(store: Reading): AsyncIterable<{ readonly address: string; readonly wakeAt: number }> {
  for (let partition = 0; partition < store.partitions; partition += 1) {
    let page = await store.wakes(partition, { limit: pageCount });
    while (page.length > 0) {
      yield* page;
      const after = page.at(-1);
      page =
        after === undefined || page.length < pageCount ? [] : await store.wakes(partition, { after, limit: pageCount });
    }
  }
}
