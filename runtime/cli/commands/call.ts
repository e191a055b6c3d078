/** `skerry call`: one operation of one entity, of the running app or of the remembered one, started for it. */
import { readFileSync } from 'node:fs';
import type { Hold } from '../../../core/entity.ts';
import { defaultLimits } from '../../../core/limits.ts';
import { reach } from '../app-connection.ts';
import type { Command, Given, Option } from '../command.ts';
import { optionText } from '../command.ts';
import { addressArgument, shellWord } from '../escape.ts';
import { CliError } from '../failure.ts';
import { jsonText, parseJson, prettyJson } from '../json.ts';
import { clusterNotes, clusterOf, clusterOptions } from '../target.ts';
import { span } from '../time.ts';

export const deadlineOption: Option = {
  flag: '--deadline <ms>',
  description: 'give up after this long (default: 30000)',
};
export const identityOption: Option = {
  flag: '--identity <name>',
  description: 'identity of the caller, for the authorisation hook of a live cluster',
};

export const call: Command = {
  name: 'call',
  parameters: '<type/key> <operation> [json]',
  summary: 'call an operation of an entity: command, query or tentative',
  options: [
    {
      flag: '--idempotency-key <key>',
      description: 'calls with the same key take effect once and get the same answer',
    },
    deadlineOption,
    identityOption,
    ...clusterOptions,
  ],
  notes: [
    'Sends the call to the app that runs on the data folder. If no app runs, the last one is started for this call and closed again. Messages that the call causes are durable, and are delivered when the app next runs.',
    "The input is JSON; '-' reads it from standard input. A tentative operation prints its hold, for confirm and cancel.",
    ...clusterNotes,
  ],
  examples: [
    `skerry call stock/tea receive '{"units":10}'`,
    'skerry call stock/tea available',
    'skerry call order/7 cancel --idempotency-key stop-7 --json',
  ],
  run: callOperation,
};

/** An answer of `cli/requests.ts`, as it comes through a socket or directly. */
interface Answer {
  readonly status: 'done' | 'accepted';
  readonly output?: unknown;
  readonly hold?: Hold;
  readonly holdMs?: number;
}

async function callOperation(given: Given): Promise<number> {
  const [where = '', operation = '', inputText] = given.args;
  const address = addressArgument(where);
  const input =
    inputText === undefined ? undefined : parseJson(inputText === '-' ? readFileSync(0, 'utf8') : inputText, 'input');
  const idempotencyKey = optionText(given, 'idempotencyKey');
  const deadlineMs = deadlineOf(given);
  const answer = (await reach(given, {
    ask: 'call',
    address,
    operation,
    input,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  })) as Answer;
  show(given, answer);
  return 0;
}

export function deadlineOf(given: Given): number | undefined {
  const text = optionText(given, 'deadline');
  if (text === undefined) return undefined;
  const ms = Number(text);
  if (Number.isFinite(ms) && ms > 0) return ms;
  throw new CliError('usage', `--deadline takes milliseconds, not '${text}'`);
}

function show(given: Given, { status, output: value, hold, holdMs }: Answer): void {
  const { output } = given;
  if (output.isJson) return output.json({ status, output: value ?? null, hold });
  if (status === 'done')
    return output.line(value === undefined || value === null ? 'done' : prettyJson(value, output.width));
  if (value !== undefined && value !== null) output.line(prettyJson(value, output.width));
  const token = shellWord(jsonText(hold));
  const folder = given.options.data === undefined ? '' : ` --data ${shellWord(given.folder)}`;
  // The hold is this identity's: nobody else may end it.
  const identity = optionText(given, 'identity');
  const asWhom = identity === undefined ? '' : ` --identity ${shellWord(identity)}`;
  const where = `${clusterOf(given)?.words ?? folder}${asWhom}`;
  output.line(`Accepted. Unless one of these is run, it is cancelled after ${span(holdMs ?? defaultLimits.holdMs)}:`);
  output.line(`  skerry confirm ${token}${where}`);
  output.line(`  skerry cancel ${token}${where}`);
}
