/** `skerry confirm` and `skerry cancel`: the end of a tentative operation, by the hold that `call` printed. */

import { reach } from '../app-connection.ts';
import type { Command, Given } from '../command.ts';
import { addressText } from '../escape.ts';
import { parseJson } from '../json.ts';
import { holdOf } from '../requests.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { deadlineOf, deadlineOption, identityOption } from './call.ts';

const options = [deadlineOption, identityOption, ...clusterOptions];
const example = `'{"entity":"stock/tea","operation":"reserve","id":"@8Zk.1"}'`;

export const confirm: Command = {
  name: 'confirm',
  parameters: '<hold>',
  summary: 'confirm a tentative operation',
  options,
  notes: [
    'The hold is what call printed. Confirming a hold that has lapsed fails (lapsed, exit code 1).',
    ...clusterNotes,
  ],
  examples: [`skerry confirm ${example}`],
  run: (given) => resolveHold(given, 'confirm'),
};

export const cancel: Command = {
  name: 'cancel',
  parameters: '<hold>',
  summary: 'cancel a tentative operation',
  options,
  notes: [
    'The hold is what call printed. Cancelling a hold that has lapsed is not an error: the operation is already cancelled.',
    ...clusterNotes,
  ],
  examples: [`skerry cancel ${example}`],
  run: (given) => resolveHold(given, 'cancel'),
};

async function resolveHold(given: Given, ask: 'confirm' | 'cancel'): Promise<number> {
  const hold = holdOf(parseJson(given.args[0] ?? '', 'hold'));
  const deadlineMs = deadlineOf(given);
  const answer = await reach(given, { ask, hold, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
  if (given.output.isJson) given.output.json(answer);
  else
    given.output.line(
      `${addressText(hold.entity)} ${hold.operation}: ${ask === 'confirm' ? 'confirmed' : 'cancelled'}`,
    );
  return 0;
}
