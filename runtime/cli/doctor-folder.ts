/**
 * The checks of `doctor` on a data folder and the app that runs on it.
 *
 * Nothing is changed, but for one thing: where nobody has the folder open it is opened for writing for a moment, since
 * only that shows that an app could.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isSkerryError } from '../../core/errors.ts';
import { typeOf } from '../../core/message.ts';
import { openLmdb } from '../open.ts';
import { shownPath } from './app.ts';
import type { Given } from './command.ts';
import { greet } from './control-client.ts';
import { hasData, remembered } from './data-folder.ts';
import { contents } from './doctor-contents.ts';
import { failureOf } from './failure.ts';
import { type Finding, nodeVersion, note, ok, plural, wrong } from './finding.ts';
import { lookInto } from './reading.ts';
import type { Hello } from './requests.ts';
import { span } from './time.ts';

const diskBytesLeast = 100 * 1024 * 1024;

export async function* folderFindings(given: Given): AsyncIterable<Finding> {
  yield nodeVersion();
  yield dataFolder(given.folder);
  if (!hasData(given.folder)) return;
  yield await freeDisk(given.folder);
  const user = await userOf(given);
  yield user.finding;
  yield rememberedApp(given.folder);
  try {
    const inside = await lookInto(given.folder, (sight) => {
      const versions = new Map(sight.remembered.map(({ type, version }) => [type, version]));
      const versionOf = (address: string) => versions.get(typeOf(address));
      return contents(given, sight, { isRunning: user.isRunning, versionOf });
    });
    yield* inside;
  } catch (error) {
    yield wrong('format', failureOf(error).message);
  }
}

function dataFolder(folder: string): Finding {
  if (!existsSync(folder))
    return wrong('folder', `${folder} does not exist: name it with --data, or create it with skerry run <app.ts>`);
  if (!hasData(folder)) return wrong('folder', `${folder} holds no Skerry data: name another with --data`);
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
    : wrong('disk', `${text}: free some space before the store refuses writes`, { freeBytes, dataBytes });
}

export function bytesText(bytes: number): string {
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
      return { finding: note('app', message.replace(/: .*/, ', which commands cannot reach')), isRunning: true };
    return { finding: wrong('app', `an app could not open it: ${message}`), isRunning: false };
  }
  return { finding: ok('app', 'none runs; no process has the folder open'), isRunning: false };
}

function rememberedApp(folder: string): Finding {
  try {
    const found = remembered(folder);
    if (found === undefined) return note('remembers', 'no app: call works once skerry run <app.ts> was used here');
    const name = shownPath(found.app);
    return existsSync(found.app)
      ? ok('remembers', name, { app: found.app })
      : wrong('remembers', `${name}, which is gone: use skerry run with its new path`, { app: found.app });
  } catch (error) {
    return wrong('remembers', failureOf(error).message);
  }
}
