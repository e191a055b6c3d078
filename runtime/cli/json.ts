/**
 * JSON in and out: stored values as JSON, JSON as it is read on a terminal, and where a text stops being JSON.
 *
 * Bytes become base64, integers beyond 2^53 decimal strings, NaN and the infinities their names.
 */
import { CliError } from './failure.ts';

function presentable(this: unknown, _key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return value;
}

/** Characters that JSON leaves as they are and a terminal does not show, or obeys. */
const unseen = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;

/** A value on one line. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, presentable) ?? 'null';
  return text.replace(unseen, (character) =>
    [...character]
      .flatMap((one) => one.split(''))
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** A value as people read it: on one line where that is short enough, else a line per part. */
export function prettyJson(value: unknown, width: number): string {
  return pretty(JSON.parse(jsonText(value)), width, '');
}

function pretty(value: unknown, width: number, indent: string): string {
  const flat = spaced(value);
  if (indent.length + flat.length <= width || typeof value !== 'object' || value === null) return flat;
  const isList = Array.isArray(value);
  const inner = `${indent}  `;
  const parts = Object.entries(value).map(([name, part]) => {
    const label = isList ? '' : `${jsonText(name)}: `;
    return `${inner}${label}${pretty(part, width - label.length, inner)}`;
  });
  return `${isList ? '[' : '{'}\n${parts.join(',\n')}\n${indent}${isList ? ']' : '}'}`;
}

/** One line with a space after each comma and colon. */
function spaced(value: unknown): string {
  if (typeof value !== 'object' || value === null) return jsonText(value);
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  const parts = Object.entries(value).map(([name, part]) => `${jsonText(name)}: ${spaced(part)}`);
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
}

/** The value of a JSON text. Throws a usage error that says where it stops being JSON. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const position = errorPosition(text);
    const rest = text.slice(position);
    const found =
      rest === ''
        ? 'the input ends too early'
        : `unexpected ${jsonText(rest.length > 20 ? `${rest.slice(0, 20)}…` : rest)}`;
    const isWord = /^[\p{L}\p{N}_ .-]+$/u.test(text);
    const advice = isWord
      ? `a string needs double quotes: '"${text}"'`
      : `as in '{"units":3}': names and strings in double quotes, the whole in single quotes`;
    throw new CliError('usage', `The ${what} is not JSON: at character ${position + 1}, ${found}`, { advice });
  }
}

const token =
  /\s*(?:([{}[\],:])|("(?:[^"\\\p{Cc}]|[\x7f-\x9f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)))/uy;

/** Where the first token is that cannot stand there; JSON.parse does not always say. */
function errorPosition(text: string): number {
  const open: string[] = [];
  // What may come next: a value, a name, a colon, or what follows a value.
  let next: 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'after' = 'value';
  for (let at = 0; ; ) {
    token.lastIndex = at;
    const match = token.exec(text);
    const here = at + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0);
    if (match === null) return here;
    const [, mark, string] = match;
    const kind = mark ?? (string === undefined ? 'scalar' : 'string');
    const isValue = next === 'value' || next === 'value or end';
    if (
      kind === (open.at(-1) === '{' ? '}' : ']') &&
      open.length > 0 &&
      (next === 'after' || next.endsWith('or end'))
    ) {
      open.pop();
      next = 'after';
    } else if (isValue && (kind === '{' || kind === '[')) {
      open.push(kind);
      next = kind === '{' ? 'name or end' : 'value or end';
    } else if (isValue && (kind === 'scalar' || kind === 'string')) next = 'after';
    else if (next.startsWith('name') && kind === 'string') next = 'colon';
    else if (next === 'colon' && kind === ':') next = 'value';
    else if (next === 'after' && kind === ',' && open.length > 0) next = open.at(-1) === '{' ? 'name' : 'value';
    else return here;
    at = token.lastIndex;
  }
}
