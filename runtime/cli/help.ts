/** The help texts, made from the commands. Pure. */
import type { Command, Option } from './command.ts';
import { exitCodes } from './failure.ts';
import { globalOptions } from './parse.ts';
import { wrapped } from './width.ts';

function block(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.max(...rows.map(([left]) => left.length));
  return ['', title, ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd())];
}

const optionRows = (options: readonly Option[]) => options.map(({ flag, description }) => [flag, description] as const);
const exitRows = Object.entries(exitCodes);

export function overview(commands: readonly Command[]): string {
  return [
    'skerry: durable entities from the command line',
    '',
    '  skerry <command> …',
    ...block(
      'Commands',
      commands.map(({ name, summary }) => [name, summary] as const),
    ),
    ...block('Options of all commands', optionRows(globalOptions)),
    ...block('Exit codes', exitRows),
    '',
    'An address is type/key, as in stock/tea. Characters of keys that cannot be seen are',
    'written \\n \\r \\t \\0 \\xHH \\u{H}, and a backslash \\\\, in what is printed and in arguments.',
    '',
    'skerry <command> --help says more.',
  ].join('\n');
}

/** Wrapped, but for its indented lines. */
function paragraph(text: string): string[] {
  return text.split('\n').flatMap((line) => (line.startsWith('  ') ? [line] : wrapped(line, 78)));
}

export function helpOf(command: Command): string {
  return [
    command.summary,
    '',
    `  skerry ${command.name} ${command.parameters}`.trimEnd(),
    ...command.notes.flatMap((note) => ['', ...paragraph(note)]),
    ...block(
      'Options',
      optionRows([...command.options, ...globalOptions.filter(({ flag }) => !flag.includes('--version'))]),
    ),
    ...(command.examples.length === 0 ? [] : ['', 'Examples', ...command.examples.map((example) => `  ${example}`)]),
    ...block('Exit codes', exitRows),
  ].join('\n');
}
