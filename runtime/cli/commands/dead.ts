/** `skerry dead`: the messages that will not be tried again by themselves. */
import type { DeadLetter } from '../../../core/record.ts';
import { reach, reachAll } from '../app-connection.ts';
import { type Command, type Given, optionText } from '../command.ts';
import { addressArgument, addressText, escapeText, partnerText, visible } from '../escape.ts';
import { CliError, failureOf } from '../failure.ts';
import { prettyJson } from '../json.ts';
import { askedText, contentText, contentValue, payloadValue } from '../message-rows.ts';
import type { Output } from '../output.ts';
import { look, lotsOf, missing, requireType } from '../reading.ts';
import { suggestion } from '../suggest.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { relative, timeText } from '../time.ts';
import { identityOption } from './call.ts';

const actions = { list: listLetters, show: showLetter, retry: retryLetter, drop: dropLetter } as const;

export const dead: Command = {
  name: 'dead',
  parameters: '<action> [type/key] [id]',
  summary: 'dead letters: list, show, retry, drop',
  options: [
    { flag: '--all', description: 'retry or drop all dead letters, or those of a type' },
    { flag: '--reason <text>', description: 'with --all: only those whose reason contains this text' },
    identityOption,
    ...clusterOptions,
  ],
  notes: [
    '  skerry dead list [type]           all dead letters, or those of a type\n  skerry dead show <type/key> <id>  one dead letter, with its input, reason and stack\n  skerry dead retry <type/key> <id>  try it once more; it stays if it fails again\n  skerry dead drop <type/key> <id>  delete it\n  skerry dead retry --all [type]    each dead letter in turn; drop works alike',
    'list and show read the folder, even while an app runs. retry and drop are sent to the running app; if no app runs, the last one is started.',
    ...clusterNotes,
  ],
  examples: [
    'skerry dead list',
    'skerry dead list order --json',
    'skerry dead retry stock/tea 17',
    "skerry dead retry --all order --reason 'connect ECONNREFUSED'",
  ],
  run: async (given) => {
    const [action = ''] = given.args;
    if (Object.hasOwn(actions, action)) return actions[action as keyof typeof actions](given);
    throw new CliError('usage', `dead has no action '${action}'`, { advice: suggestion(action, Object.keys(actions)) });
  },
};

async function listLetters(given: Given): Promise<number> {
  const { args, output, environment } = given;
  const [, type, ...rest] = args;
  if (rest.length > 0)
    throw new CliError('usage', 'dead list takes one type', { advice: 'usage: skerry dead list [type]' });
  return look(given, async (sight) => {
    if (type !== undefined) await requireType(sight, type);
    let count = 0;
    for await (const lot of lotsOf(sight.inspector.dead(type), lotCount)) {
      count += lot.length;
      if (!output.isJson) showLetters(lot, output, environment.now());
      for (const { address, letter } of output.isJson ? lot : []) {
        output.json(letterValue(address, letter));
        await output.room();
      }
    }
    if (count === 0) output.note('No dead letters');
    return 0;
  });
}

/** Rows of one table; more are another one. */
const lotCount = 500;

/** Oldest first. */
function showLetters(found: readonly { address: string; letter: DeadLetter }[], output: Output, now: number): void {
  const rows = [...found]
    .sort((one, other) => one.letter.at - other.letter.at)
    .map(({ address, letter: { id, content, reason, at } }) => [
      id,
      contentText(content),
      visible(reason),
      relative(at, now),
      addressText(address),
    ]);
  const asked = { title: 'asked', isFlexible: true };
  const reason = { title: 'reason', isFlexible: true };
  output.table([{ title: 'id' }, asked, reason, { title: 'when' }, { title: 'entity' }], rows);
}

function letterValue(address: string, { content, ...letter }: DeadLetter): object {
  return { address, ...letter, ...contentValue(content) };
}

/** Address and id, both needed. */
function named({ args }: Given): { address: string; id: string } {
  const [action, where, id] = args;
  if (where === undefined || id === undefined) {
    throw new CliError('usage', `dead ${action} takes an address and an id`, {
      advice: `usage: skerry dead ${action} <type/key> <id>; skerry dead list shows both`,
    });
  }
  return { address: addressArgument(where), id };
}

async function letterOf(given: Given): Promise<{ address: string; letter: DeadLetter }> {
  const { address, id } = named(given);
  return look(given, async (sight) => {
    const found = await sight.inspector.get(address, { activityCountMax: 0 });
    if (found === undefined) throw await missing(sight, address);
    const letter = found.dead.find((one) => one.id === id);
    if (letter !== undefined) return { address, letter };
    const advice = found.dead.length === 0 ? 'it has none' : `it has ${found.dead.map((one) => one.id).join(', ')}`;
    throw new CliError('not-found', `${addressText(address)} has no dead letter ${escapeText(id)}`, { advice });
  });
}

async function showLetter(given: Given): Promise<number> {
  const { output, environment } = given;
  const { address, letter } = await letterOf(given);
  if (output.isJson) {
    output.json(letterValue(address, letter));
    return 0;
  }
  const { id, side, partner, content, reason, stack, at, attempts } = letter;
  const entity = addressText(address);
  output.line(output.style('bold', `${entity} dead letter ${id}`));
  output.line();
  const rows = [
    ['asked', askedText(content)],
    side === 'receiver' ? ['from', partnerText(partner)] : ['to', partnerText(partner)],
    ['why', side === 'receiver' ? `its turn failed ${attempts} times here` : 'it left the outbox unacknowledged'],
    ['reason', visible(reason)],
    ['since', `${timeText(at)}, ${relative(at, environment.now())}`],
    ...(content.hold === '' ? [] : [['hold', escapeText(content.hold)]]),
  ];
  for (const [name = '', value] of rows) output.line(`  ${output.style('dim', name.padEnd(6))}  ${value}`);
  const input = payloadValue(content.payload);
  if (input !== undefined) {
    output.heading(content.kind === 'answer' ? 'Answer' : 'Input');
    for (const line of prettyJson(input, output.width - 2).split('\n')) output.line(`  ${line}`);
  }
  if (stack !== '') {
    output.heading('Thrown last');
    for (const line of stack.split('\n')) output.line(`  ${visible(line)}`);
  }
  return 0;
}

/** That it exists is looked up first: no app is started for a letter that is not there. */
async function retryLetter(given: Given): Promise<number> {
  if (given.options.all === true) return all(given, 'dead-retry');
  const { address, letter } = await letterOf(given);
  return told(given, address, letter, await reach(given, { ask: 'dead-retry', address, id: letter.id }));
}

async function dropLetter(given: Given): Promise<number> {
  if (given.options.all === true) return all(given, 'dead-drop');
  const { address, letter } = await letterOf(given);
  return told(given, address, letter, await reach(given, { ask: 'dead-drop', address, id: letter.id }));
}

/** One after the other, so that nothing piles up; one that fails again is told of and stays. Exit code 1 if any did. */
async function all(given: Given, ask: 'dead-retry' | 'dead-drop'): Promise<number> {
  const { args, output } = given;
  const [, type, ...rest] = args;
  const reason = optionText(given, 'reason');
  if (rest.length > 0 || type?.includes('/'))
    throw new CliError('usage', '--all takes one type, or none', {
      advice: `usage: skerry ${ask.replace('-', ' ')} --all [type]`,
    });
  const failed = await reachAll(given, async ({ request, inspector }) => {
    let failedCount = 0;
    for await (const { address, letter } of inspector.dead(type)) {
      if (reason !== undefined && !letter.reason.includes(reason)) continue;
      try {
        told(given, address, letter, await request({ ask, address, id: letter.id }));
      } catch (error) {
        const failure = failureOf(error);
        // Anything else would befall all the others, too.
        if (failure.code !== 'failed' && failure.code !== 'not-found') throw error;
        failedCount += 1;
        output.fail(failure);
      }
      await output.room();
    }
    return failedCount;
  });
  return failed === 0 ? 0 : 1;
}

function told({ output, args }: Given, address: string, { id, content }: DeadLetter, answer: unknown): number {
  if (output.isJson) output.json({ ...(answer as object), address, id });
  else
    output.line(
      `${addressText(address)} dead letter ${id} (${askedText(content)}): ${args[0] === 'retry' ? 'retried' : 'dropped'}`,
    );
  return 0;
}
