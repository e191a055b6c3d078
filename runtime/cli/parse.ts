/**
 * Parses a command line into a command and its arguments. The only file that imports cac.
 *
 * cac turns what looks like a number into one and what starts with a dash into an option: an idempotency key `007` would
 * be `7`, and the input `-5` a flag. So every value is marked before cac sees it, with NUL, which no argument can hold.
 */
import { cac } from 'cac';
import type { Command, Option } from './command.ts';
import { CliError } from './failure.ts';
import { suggestion } from './suggest.ts';

export const globalOptions: readonly Option[] = [
  { flag: '--data <folder>', description: 'the data folder (default: $SKERRY_DATA, else .skerry)' },
  { flag: '--json', description: 'JSON instead of text: one document, or one line per item' },
  { flag: '-h, --help', description: 'this help' },
  { flag: '-v, --version', description: 'the version' },
];

export interface Parsed {
  /** Undefined where none is named. */
  readonly command: Command | undefined;
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
}

const mark = '\0';

/** Throws usage errors. */
export function parse(words: readonly string[], commands: readonly Command[]): Parsed {
  const cli = cac('skerry');
  for (const { flag, description } of globalOptions) cli.option(flag, description);
  for (const command of commands) {
    const registered = cli.command(`${command.name} ${command.parameters}`, command.summary);
    for (const { flag, description } of command.options) registered.option(flag, description);
  }
  const { args, options } = cli.parse(['', 'skerry', ...marked(words, commands)], { run: false });
  const command = commands.find(({ name }) => name === cli.matchedCommandName);
  const given = optionsOf(options, command?.options ?? []);
  if (command === undefined && args[0] !== undefined) {
    const name = unmarked(args[0]);
    throw new CliError('usage', `There is no command '${name}'`, {
      advice: suggestion(
        name,
        commands.map((one) => one.name),
      ),
    });
  }
  const isAnswered = given.help === true || given.version === true;
  if (!isAnswered)
    check(command, () => {
      const matched = cli.matchedCommand ?? cli.globalCommand;
      matched.checkUnknownOptions();
      matched.checkOptionValue();
      if (command === undefined) return;
      matched.checkRequiredArgs();
      matched.checkUnusedArgs();
    });
  return { command, args: args.map(unmarked), options: given };
}

function check(command: Command | undefined, checks: () => void): void {
  try {
    checks();
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).replaceAll('`', "'").replaceAll(mark, '');
    const usage =
      command === undefined
        ? 'skerry --help lists the commands'
        : `usage: skerry ${command.name} ${command.parameters}; see skerry ${command.name} --help`;
    throw new CliError('usage', text.charAt(0).toUpperCase() + text.slice(1), { advice: usage });
  }
}

/** The words with every value marked: option values, what follows `--`, negative numbers, all operands but the command. */
function marked(words: readonly string[], commands: readonly Command[]): string[] {
  const flags = [...globalOptions, ...commands.flatMap(({ options }) => options)].map(({ flag }) => flag);
  const takesValue = new Set(flags.filter((flag) => flag.includes('<')).map((flag) => flag.split(' ')[0]));
  const result: string[] = [];
  let isCommandSeen = false;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--') return [...result, ...words.slice(at + 1).map((rest) => mark + rest)];
    const [name, value] = splitOption(word);
    if (takesValue.has(name) && value !== undefined) result.push(`${name}=${mark}${value}`);
    else if (takesValue.has(name) && at + 1 < words.length) result.push(name, `${mark}${words[++at]}`);
    else if (/^-[^\d.]/.test(word)) result.push(word);
    else if (isCommandSeen) result.push(mark + word);
    else {
      isCommandSeen = true;
      result.push(word);
    }
  }
  return result;
}

function splitOption(word: string): [name: string, value: string | undefined] {
  const equals = word.indexOf('=');
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

function unmarked(value: string): string {
  return String(value).replaceAll(mark, '');
}

function optionsOf(
  options: Readonly<Record<string, unknown>>,
  known: readonly Option[],
): Record<string, string | boolean | undefined> {
  const lists = new Set(known.flatMap(({ flag, isList }) => (isList === true ? [flag.split(' ')[0]?.slice(2)] : [])));
  const given: Record<string, string | boolean | undefined> = {};
  for (const [name, value] of Object.entries(options)) {
    if (name === '--') continue;
    if (Array.isArray(value) && lists.has(name)) given[name] = value.map((one) => unmarked(String(one))).join(',');
    else if (Array.isArray(value)) throw new CliError('usage', `Option --${name} is given more than once`);
    else if (typeof value === 'boolean') given[name] = value;
    else if (value !== undefined) given[name] = unmarked(String(value));
  }
  return given;
}
