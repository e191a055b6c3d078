/** `skerry outbox`: a message that is not to be sent any more. */

import { reach } from '../app-connection.ts';
import type { Command, Given } from '../command.ts';
import { addressArgument, addressText, escapeText } from '../escape.ts';
import { CliError } from '../failure.ts';
import { suggestion } from '../suggest.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { identityOption } from './call.ts';

export const outbox: Command = {
  name: 'outbox',
  parameters: '<action> <type/key> <to> <seq>',
  summary: 'drop a message from an outbox',
  options: [identityOption, ...clusterOptions],
  notes: [
    '  skerry outbox drop <type/key> <to> <seq>  the message with this number to the entity <to> becomes a dead letter',
    'get shows the outbox of an entity, with numbers and receivers. A message that was already sent may have been processed, or may be in flight: the dead letter is in doubt, and a retry may process it a second time. Later messages continue without it.',
    'The request goes to the running app; if no app runs, the last one is started.',
    ...clusterNotes,
  ],
  examples: ['skerry get order/17', 'skerry outbox drop order/17 stock/tea 4'],
  run: async (given) => {
    const [action = ''] = given.args;
    if (action === 'drop') return dropMessage(given);
    throw new CliError('usage', `outbox has no action '${action}'`, { advice: suggestion(action, ['drop']) });
  },
};

async function dropMessage(given: Given): Promise<number> {
  const [, from = '', to = '', number = ''] = given.args;
  const [address, partner] = [addressArgument(from), addressArgument(to)];
  const seq = Number(number);
  if (!/^[1-9]\d*$/.test(number) || !Number.isSafeInteger(seq))
    throw new CliError('usage', `The number of a message is at least 1, not '${escapeText(number)}'`, {
      advice: `skerry get ${addressText(address)} shows the numbers`,
    });
  const answer = (await reach(given, { ask: 'outbox-drop', address, partner, seq })) as { readonly letter: string };
  const { output } = given;
  if (output.isJson) output.json({ ...answer, address, to: partner, seq });
  else
    output.line(
      `${addressText(address)} message ${seq} to ${addressText(partner)}: dropped, dead letter ${escapeText(answer.letter)}`,
    );
  return 0;
}
