/** The help texts, made from the commands. Pure. */
import type { Command, Option } from './command.ts';
import { exitCodes } from './failure.ts';
import { globalOptions } from './parse.ts';
import { wrapped } from './width.ts';

type Row = readonly [left: string, right: string];

/** What a terminal has at least. */
const columnCount = 80;
/** A left part that is longer has its right part in the line below. */
const leftWidthMax = 36;

/** Two columns, the right one wrapped. */
export function rowLines(rows: readonly Row[], leastWidth = 0): string[] {
  const lengths = rows.map(([left]) => left.length).filter((length) => length <= leftWidthMax);
  const width = Math.max(leastWidth, ...lengths);
  return rows.flatMap(([left, right]) => {
    const lines = wrapped(right, columnCount - width - 4);
    const indent = ' '.repeat(width + 4);
    if (left.length > width) return [`  ${left}`, ...lines.map((line) => indent + line)];
    return lines.map((line, index) => (index === 0 ? `  ${left.padEnd(width)}  ${line}` : indent + line).trimEnd());
  });
}

function block(title: string, rows: readonly Row[]): string[] {
  return rows.length === 0 ? [] : ['', title, ...rowLines(rows)];
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
    ...wrapped(
      'An address is type/key, as in stock/tea. In output and arguments, invisible characters of a key are written \\n \\r \\t \\0 \\xHH \\u{H}, and a backslash is written \\\\.',
      columnCount,
    ),
    '',
    'skerry <command> --help has the details.',
  ].join('\n');
}

/** Wrapped; indented lines with two parts are rows, others are left as they are. */
function paragraph(text: string): string[] {
  const lines = text.split('\n');
  const rows = lines.flatMap((line) => {
    const [, left, right] = /^ {2}(\S.*?) {2,}(.*)$/.exec(line) ?? [];
    return left === undefined || right === undefined ? [] : [[left, right] as const];
  });
  if (rows.length === lines.length) return rowLines(rows);
  return lines.flatMap((line) => (line.startsWith('  ') ? [line] : wrapped(line, columnCount - 2)));
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
