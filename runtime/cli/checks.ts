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
import type { Store } from '../store.ts';
import { openLmdb } from '../stores/lmdb.ts';
import { shownPath } from './app.ts';
import type { Given } from './command.ts';
import { greet } from './control-client.ts';
import { failureOf } from './failure.ts';
import { hasData, remembered } from './folder.ts';
import { look, type Sight } from './look.ts';
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
  const running = await greet(given.folder).catch(failureOf);
  yield 'code' in running! ? { check: 'in use', verdict: 'wrong', text: running.message } : await user(given, running);
  yield rememberedApp(given.folder);
  try {
    yield* await look(given.folder, async (sight) => [
      { check: 'format', verdict: 'ok', text: `readable, ${sight.store.partitions} partitions` } as const,
      ...(await contents(given, sight, running !== undefined)),
    ]);
  } catch (error) {
    yield { check: 'format', verdict: 'wrong', text: failureOf(error).message };
  }
}
