#!/usr/bin/env node
/** `skerry`: from a command line to a command, and from what comes of it to an exit code. */
import { existsSync, readFileSync } from 'node:fs';
import { machineEnvironment } from '../environment.ts';
import { silentLog } from '../log.ts';
import type { Command } from './command.ts';
import { agreements } from './commands/agreements.ts';
import { call } from './commands/call.ts';
import { compact } from './commands/compact.ts';
import { dead } from './commands/dead.ts';
import { doctor } from './commands/doctor.ts';
import { drain } from './commands/drain.ts';
import { get } from './commands/get.ts';
import { cancel, confirm } from './commands/holds.ts';
import { list } from './commands/list.ts';
import { log } from './commands/log.ts';
import { outbox } from './commands/outbox.ts';
import { handOver, perf } from './commands/perf.ts';
import { permissions } from './commands/permissions.ts';
import { pin, unpin } from './commands/pin.ts';
import { ready } from './commands/ready.ts';
import { run } from './commands/run.ts';
import { start } from './commands/start.ts';
import { up } from './commands/up.ts';
import { view } from './commands/view.ts';
import { where } from './commands/where.ts';
import { worker } from './commands/worker.ts';
import { exitCodeOf, failureOf } from './failure.ts';
import { helpOf, overview } from './help.ts';
import { Output } from './output.ts';
import { parse } from './parse.ts';

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
  agreements,
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
