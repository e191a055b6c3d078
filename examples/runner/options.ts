/** The command line of the runner. An error says what is wrong, and what there is. */
import { parseArgs } from 'node:util';
import { CliError } from '../../runtime/cli/failure.ts';
import type { Fsync } from '../../runtime/cli/servers.ts';
import type { Example, OwnOption } from './example.ts';
import { wholeFrom } from './option-checks.ts';

export interface Options {
  readonly example: Example;
  /** 0: embedded in this process. */
  readonly workers: number;
  readonly seconds: number;
  readonly clients: number;
  readonly killEveryMs: number | undefined;
  readonly moveEveryMs: number | undefined;
  readonly store: 'redis' | 'lmdb';
  readonly fsync: Fsync;
  readonly seed: number;
  /** A folder to keep; undefined: one that goes with the run. */
  readonly data: string | undefined;
  readonly own: Readonly<Record<string, string>>;
}

const common: Readonly<Record<string, OwnOption>> = {
  workers: {
    value: '<count>',
    description: 'run on a cluster of so many worker processes; without it, embedded in this process',
    default: '',
    problem: wholeFrom(1, 64),
  },
  seconds: { value: '<n>', description: 'how long', default: '10', problem: wholeFrom(1, 86_400) },
  clients: { value: '<n>', description: 'calls under way at once', default: '32', problem: wholeFrom(1, 10_000) },
  'kill-every': {
    value: '<time>',
    description: 'kill a random worker so often: 2s, 500ms',
    default: '',
    problem: span,
  },
  'move-every': { value: '<time>', description: 'move a random entity so often', default: '', problem: span },
  store: {
    value: 'redis|lmdb',
    description: 'where entities are stored (default: redis with --workers, else lmdb)',
    default: '',
    problem: oneOf('redis', 'lmdb'),
  },
  fsync: {
    value: 'everysec|always',
    description: 'when Redis flushes its log (default: everysec)',
    default: '',
    problem: oneOf('everysec', 'always'),
  },
  seed: { value: '<n>', description: 'chooses what is asked', default: '1', problem: wholeFrom(0, 2 ** 32 - 1) },
  data: {
    value: '<folder>',
    description: 'keep the data there (default: a temporary folder)',
    default: '',
    problem: any,
  },
};

/** Help is undefined. Throws usage errors. */
export function optionsOf(words: readonly string[], examples: readonly Example[]): Options | string {
  const name = words.find((word) => !word.startsWith('-'));
  const example = examples.find((one) => one.name === name);
  const isHelp = words.includes('--help') || words.includes('-h');
  if (isHelp && (name === undefined || example !== undefined)) return help(example, examples);
  if (example === undefined)
    throw usage(name === undefined ? 'No example named' : `There is no example '${name}'`, {
      advice: `there are: ${examples.map((one) => one.name).join(', ')}; npm run example -- --help says more`,
    });
  const values = valuesOf(example, words);
  return checked(example, values);
}

function usage(message: string, more: { advice?: string } = {}): CliError {
  return new CliError('usage', message, more);
}

function valuesOf(example: Example, words: readonly string[]): Record<string, string> {
  const known = { ...common, ...example.options };
  const advice = `npm run example -- ${example.name} --help lists the options`;
  let values: Record<string, unknown>;
  try {
    const options = Object.fromEntries(Object.keys(known).map((name) => [name, { type: 'string' as const }]));
    const parsed = parseArgs({ args: [...words], options, allowPositionals: true });
    if (parsed.positionals.length > 1)
      throw new Error(`One example at a time: there is no place for '${parsed.positionals[1]}'`);
    values = parsed.values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error), { advice });
  }
  const texts = Object.entries(known).map(([name, { default: usual, problem }]) => {
    const given = values[name];
    const text = typeof given === 'string' ? given : usual;
    const wrong = given === undefined ? undefined : problem(text);
    if (wrong !== undefined) throw usage(`--${name} ${wrong}, not '${text}'`, { advice });
    return [name, text];
  });
  return Object.fromEntries(texts) as Record<string, string>;
}

function checked(example: Example, values: Readonly<Record<string, string>>): Options {
  const { store: place = '', fsync = '', data = '' } = values;
  const workers = Number(values.workers);
  const [killEveryMs, moveEveryMs] = [msOf(values['kill-every'] ?? ''), msOf(values['move-every'] ?? '')];
  if (workers === 0 && (killEveryMs ?? moveEveryMs) !== undefined)
    throw usage('--kill-every and --move-every need workers that are processes', { advice: 'add --workers 4' });
  if (workers === 1 && moveEveryMs !== undefined)
    throw usage('--move-every needs a second worker', { advice: 'add --workers 4' });
  const store = place !== '' ? place : workers > 0 ? 'redis' : 'lmdb';
  if (fsync !== '' && store !== 'redis')
    throw usage('--fsync is of Redis; LMDB flushes each commit', { advice: 'add --store redis, or leave it out' });
  return {
    example,
    workers,
    seconds: Number(values.seconds),
    clients: Number(values.clients),
    killEveryMs,
    moveEveryMs,
    store: store as Options['store'],
    fsync: fsync === 'always' ? 'always' : 'everysec',
    seed: Number(values.seed),
    data: data === '' ? undefined : data,
    own: Object.fromEntries(Object.keys(example.options).map((name) => [name, values[name] ?? ''])),
  };
}

function oneOf(...choices: readonly string[]): OwnOption['problem'] {
  return (text) => (choices.includes(text) ? undefined : `takes ${choices.join(' or ')}`);
}

function span(text: string): string | undefined {
  return msOf(text) === undefined ? 'takes a time from 100ms, such as 2s or 500ms' : undefined;
}

function any(): undefined {
  return undefined;
}

function msOf(text: string): number | undefined {
  const [, number = '', unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text) ?? [];
  const ms = Number(number) * (unit === 's' ? 1_000 : 1);
  return ms >= 100 ? ms : undefined;
}

function help(example: Example | undefined, examples: readonly Example[]): string {
  const lines = (options: Readonly<Record<string, OwnOption>>) =>
    Object.entries(options).map(([name, { value, description, default: usual }]) => {
      const flag = `--${name} ${value}`;
      return `  ${flag.padEnd(24)} ${description}${usual === '' ? '' : ` (default: ${usual})`}`;
    });
  const chosen = examples.filter((one) => example === undefined || one === example);
  return [
    `npm run example -- ${example?.name ?? '<name>'} [options]`,
    '',
    ...chosen.map(({ name, summary }) => `  ${name.padEnd(24)} ${summary}`),
    '',
    'Options',
    ...lines(common),
    ...chosen.flatMap(({ name, options }) =>
      Object.keys(options).length === 0 ? [] : ['', `Options of ${name}`, ...lines(options)],
    ),
    '',
    'Its last line is JSON. Exit code: 0; 1 with anomalies; 2 for a wrong command line; 130 when stopped.',
  ].join('\n');
}
