#!/usr/bin/env node
/** `skerry`: from a command line to a command, and from what comes of it to an exit code. */
import { existsSync, readFileSync } from 'node:fs';
import { machineEnvironment } from '../environment.ts';
import { silentLog } from '../log.ts';
import { call } from './call.ts';
import type { Command } from './command.ts';
import { compact } from './compact.ts';
import { dead } from './dead.ts';
import { doctor } from './doctor.ts';
import { drain } from './drain.ts';
import { exitCodeOf, failureOf } from './failure.ts';
import { get } from './get.ts';
import { helpOf, overview } from './help.ts';
import { cancel, confirm } from './holds.ts';
import { list } from './list.ts';
import { log } from './log.ts';
import { outbox } from './outbox.ts';
import { Output } from './output.ts';
import { parse } from './parse.ts';
import { handOver, perf } from './perf.ts';
import { permissions } from './permissions.ts';
import { pin, unpin } from './pin.ts';
import { ready } from './ready.ts';
import { run } from './run.ts';
import { start } from './start.ts';
import { up } from './up.ts';
import { view } from './view.ts';
import { where } from './where.ts';
import { worker } from './worker.ts';

const commands: readonly Command[] = [
  run,
  up,
  worker,
  call,
  confirm,
  cancel,
  get,
  log,
  list,
  dead,
  outbox,
  view,
  where,
  drain,
  start,
  pin,
  unpin,
  ready,
  doctor,
  compact,
  permissions,
  perf,
];

async function main(words: readonly string[]): Promise<{ output: Output; code: number }> {
  let output = new Output(words.includes('--json'));
  try {
    if (words[0] === perf.name) return { output, code: await handOver(words.slice(1)) };
    const { command, args, options } = parse(words, commands);
    output = new Output(options.json === true);
    if (options.help === true) output.line(command === undefined ? overview(commands) : helpOf(command));
    else if (options.version === true) output.line(versionText());
    else if (command === undefined) {
      output.note(overview(commands));
      return { output, code: 2 };
    } else {
      const folder = typeof options.data === 'string' ? options.data : process.env.SKERRY_DATA || '.skerry';
      return {
        output,
        code: await command.run({ args, options, folder, output, environment: machineEnvironment(silentLog) }),
      };
    }
    return { output, code: 0 };
  } catch (error) {
    const failure = failureOf(error);
    output.fail(failure);
    return { output, code: exitCodeOf(failure) };
  }
}

/** The package lies two folders up in its sources, three where it is built. */
function versionText(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    const url = new URL(path, import.meta.url);
    if (!existsSync(url)) continue;
    const { name, version } = JSON.parse(readFileSync(url, 'utf8')) as { name?: string; version?: string };
    if (name === 'skerry' && version !== undefined) return version;
  }
  return 'unknown';
}

const { output, code } = await main(process.argv.slice(2));
output.exit(code);
