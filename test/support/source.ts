/**
 * Scans our own sources: which text is code, its imports, and where its functions begin and end.
 *
 * TypeScript 7 has no compiler API for tools, so this is a scanner, not a parser. It relies on Biome's format
 * (a method starts its line, braces balance) and is tested on samples in `source.test.ts`.
 */

/** Two versions of a source, with blanks in place of what was removed. Lines and columns stay the same. */
export interface Masked {
  /** Without comments. */
  readonly text: string;
  /** Without comments and without the insides of strings, templates and regular expressions. */
  readonly code: string;
}

export function mask(source: string): Masked {
  return new Scanner(source).scan();
}

const wordsBeforeRegex = /(?:^|[^\w.])(?:return|typeof|case|in|of|void|throw|else|await|yield)\s*$/;

class Scanner {
  readonly #source: string;
  #at = 0;
  #text = '';
  #code = '';

  constructor(source: string) {
    this.#source = source;
  }

  scan(): Masked {
    this.#scanCode(false);
    return { text: this.#text, code: this.#code };
  }

  /** Scans to the end, or to the brace that closes a template's `${`. */
  #scanCode(isInTemplate: boolean): void {
    let depth = 0;
    while (this.#at < this.#source.length) {
      const character = this.#source[this.#at];
      if (character === '}' && isInTemplate && depth === 0) return;
      if (character === '{') depth += 1;
      if (character === '}') depth -= 1;
      this.#scanToken(character as string);
    }
  }

  #scanToken(character: string): void {
    if (this.#source.startsWith('//', this.#at)) this.#take(/[^\n]*/y, 'comment');
    else if (this.#source.startsWith('/*', this.#at)) this.#take(/[\s\S]*?\*\//y, 'comment');
    else if (character === "'") this.#take(/'(?:\\.|[^'\\])*'/y, 'string');
    else if (character === '"') this.#take(/"(?:\\.|[^"\\])*"/y, 'string');
    else if (character === '/' && this.#isRegexNext())
      this.#take(/\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[])+\//y, 'string');
    else if (character === '`') this.#scanTemplate();
    else this.#take(/[\s\S]/y, 'code');
  }

  #scanTemplate(): void {
    this.#take(/`/y, 'code');
    for (;;) {
      this.#take(/(?:\\[\s\S]|\$(?!\{)|[^`\\$])*/y, 'inside');
      if (this.#source[this.#at] !== '$') break;
      this.#take(/\$\{/y, 'code');
      this.#scanCode(true);
      this.#take(/\}/y, 'code');
    }
    this.#take(/`/y, 'code');
  }

  /** A slash divides after a value, and starts a regular expression where a value is expected. */
  #isRegexNext(): boolean {
    const before = this.#code.trimEnd();
    return before === '' || /[(,=:[!&|?{;+*%<>~^-]$/.test(before) || wordsBeforeRegex.test(before);
  }

  #take(pattern: RegExp, kind: 'code' | 'comment' | 'string' | 'inside'): void {
    pattern.lastIndex = this.#at;
    // What does not match (an unclosed string) is skipped; the compiler reports it.
    const taken = pattern.exec(this.#source)?.[0] ?? (this.#source[this.#at] as string);
    const blank = taken.replace(/[^\n]/g, ' ');
    this.#at += taken.length;
    this.#text += kind === 'comment' ? blank : taken;
    if (kind === 'code') this.#code += taken;
    else
      this.#code += kind === 'string' && taken.length > 1 ? `${taken[0]}${blank.slice(1, -1)}${taken.at(-1)}` : blank;
  }
}

/** The modules that a source imports or re-exports, types included, in order. */
export function importsOf({ text, code }: Masked): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(/\b(?:from|import)\b\s*\(?\s*(['"])([^'"\n]+)\1/g)) {
    const isCode = /^(?:from|import)/.test(code.slice(match.index));
    if (isCode) found.push(match[2] as string);
  }
  return found;
}

/** The package of an import, or undefined for our own files and Node's modules. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

export interface FunctionSpan {
  readonly name: string;
  /** Lines, counted from 1. */
  readonly first: number;
  readonly last: number;
}

/** A method of a class or object, which starts its line; or the word `function`; or an arrow with a block. */
const functionHead =
  /^[ ]*(?:(?:public|private|protected|static|async|override|readonly|get|set) +|\*)*(?<method>#?[A-Za-z_$][\w$]*)(?:<[^()]*>)?\(|\bfunction\b *\*? *(?<named>[\w$]*)(?:<[^()]*>)?\(|=>(?=\s*\{)/gm;
const notMethods = new Set([
  'if',
  'for',
  'while',
  'switch',
  'catch',
  'with',
  'function',
  'return',
  'super',
  'await',
  'new',
]);

/** Every function with a block, nested ones included, in order of their starts. */
export function functionsOf({ code }: Masked): FunctionSpan[] {
  const found: FunctionSpan[] = [];
  for (const match of code.matchAll(functionHead)) {
    const { method, named } = match.groups ?? {};
    if (method !== undefined && notMethods.has(method)) continue;
    const headEnd = match.index + match[0].length;
    const open = match[0] === '=>' ? code.indexOf('{', headEnd) : bodyStart(code, headEnd - 1);
    if (open === undefined) continue;
    const start = match.index + match[0].search(/\S/);
    const name = method ?? (named || nameOnLine(code, match.index));
    found.push({ name, first: lineAt(code, start), last: lineAt(code, closing(code, open)) });
  }
  return found;
}

/** Where the block of the function starts whose parameters open at `open`; undefined: it has no block, or is a call. */
function bodyStart(code: string, open: number): number | undefined {
  let at = closing(code, open) + 1;
  const next = /\s*(.)/y;
  next.lastIndex = at;
  const after = next.exec(code)?.[1];
  if (after === '{') return code.indexOf('{', at);
  if (after !== ':') return undefined;
  // A return type: its braces follow an operator of types, the block's brace follows the type's end.
  for (at = code.indexOf(':', at); at < code.length; at++) {
    const character = code[at] as string;
    if (character === ';') return undefined;
    if (
      character === '{' &&
      !/(?:[:|&<,([?=]|=>|\b(?:is|extends|keyof|readonly|infer))$/.test(code.slice(0, at).trimEnd())
    )
      return at;
    if ('{(['.includes(character)) at = closing(code, at);
  }
  return undefined;
}

/** The bracket that closes the one at `open`. */
function closing(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    const character = code[at] as string;
    if ('{(['.includes(character)) depth += 1;
    else if ('})]'.includes(character)) depth -= 1;
    if (depth === 0) return at;
  }
  return code.length - 1;
}

function lineAt(code: string, at: number): number {
  return code.slice(0, at).split('\n').length;
}

/** What an arrow function is assigned or passed to, for messages. */
function nameOnLine(code: string, at: number): string {
  const line = code.slice(code.lastIndexOf('\n', at) + 1, at);
  return /(?:const|let) ([\w$]+)/.exec(line)?.[1] ?? /([\w$.#]+)\s*[(:=]/.exec(line)?.[1] ?? 'arrow function';
}

/** Lines of a function, and its own lines: those outside of nested functions of several lines. */
export function sizesOf(
  functions: readonly FunctionSpan[],
): { readonly span: FunctionSpan; readonly lines: number; readonly ownLines: number }[] {
  return functions.map((span) => {
    const inside = functions.filter((other) => other !== span && other.first > span.first && other.last < span.last);
    const outermost = inside.filter(
      (one) => !inside.some((other) => other !== one && other.first <= one.first && other.last > one.last),
    );
    const held = outermost.reduce((sum, { first, last }) => sum + (last - first), 0);
    const lines = span.last - span.first + 1;
    return { span, lines, ownLines: lines - held };
  });
}

/** The numbers that a module's head declares as its invariants: ` * - S1 …` or ` * S1: …`. */
export function invariantsOf(source: string): string[] {
  const head = /^\/\*\*[\s\S]*?\*\//.exec(source)?.[0] ?? '';
  return [...head.matchAll(/^ \* (?:- ([A-Z]{1,2}\d+)[ :]|([A-Z]{1,2}\d+): )/gm)].map(
    ([, listed, led]) => (listed ?? led) as string,
  );
}

/** The invariants that the names of tests cite: the first argument of a call is a name. `S1–S3` cites three. */
export function citedBy(source: string): Set<string> {
  const cited = new Set<string>();
  for (const [, , name] of mask(source).text.matchAll(/\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1\s*,/g)) {
    for (const [, letter, first, last] of (name as string).matchAll(/\b([A-Z]{1,2})(\d+)(?:[–-]\1?(\d+))?\b/g)) {
      for (let number = Number(first); number <= Number(last ?? first); number++) cited.add(`${letter}${number}`);
    }
  }
  return cited;
}
