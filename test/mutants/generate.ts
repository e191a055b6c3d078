/**
 * Mutants by machine: every small slip that somebody could make in one line of a source file. Comparisons that are off by one or
 * turned round, conditions that are negated, statements that are left out, operands, constants.
 *
 * Owns which slips there are; who tries them is `main.ts`, which of them may survive `argued.ts`.
 */
import { mask } from '../support/source.ts';

/** One slip: the whole source with it. */
export interface Slip {
  readonly line: number;
  /** The line as it is. */
  readonly text: string;
  readonly what: string;
  readonly source: string;
}

type Turn = readonly [what: string, find: RegExp, replace: string];

/** Each place of each becomes a mutant of its own. */
const turns: readonly Turn[] = [
  ['< for <=', / <= /g, ' < '],
  ['<= for <', / < /g, ' <= '],
  ['> for >=', / >= /g, ' > '],
  ['>= for >', / > /g, ' >= '],
  ['!== for ===', / === /g, ' !== '],
  ['=== for !==', / !== /g, ' === '],
  ['|| for &&', / && /g, ' || '],
  ['&& for ||', / \|\| /g, ' && '],
  ['- for +', / \+ /g, ' - '],
  ['+ for -', / - /g, ' + '],
  ['-= for +=', / \+= /g, ' -= '],
  ['+= for -=', / -= /g, ' += '],
  ['min for max', /Math\.max\(/g, 'Math.min('],
  ['max for min', /Math\.min\(/g, 'Math.max('],
  ['true for false', /\bfalse\b/g, 'true'],
  ['false for true', /\btrue\b/g, 'false'],
  ['1 for 0', /(?<![\w.])0(?![\w.])/g, '1'],
  ['0 for 1', /(?<![\w.])1(?![\w.])/g, '0'],
  ['nothing for !', /!(?=[\w(])/g, ''],
];

/** Declarations of types, imports and exports: a slip in them changes nothing that runs. */
const silent = /^\s*(?:import|export (?:type|interface)|readonly \w+[?]?:|type |interface |[*/])/;
/** A statement of one line that does something: a call, an assignment, a way out. */
const statement = /^\s+(?:(?!const |let |import |export |readonly |static |else |case )[\w#(].*;|continue;|return;)$/;
const condition = /\bif \((.+?)\) (?=\S.*;$|\{$)|\bif \((.+)\)$/;

/** All slips of a file, line by line. */
export function slipsOf(source: string): Slip[] {
  const lines = source.split('\n');
  const codes = mask(source).code.split('\n');
  const slips: Slip[] = [];
  let isSilent = false;
  for (const [index, text] of lines.entries()) {
    const code = codes[index] ?? '';
    if (/^(?:export )?(?:interface|type) .*[{=]$/.test(code) || /^import .*\{$/.test(code)) isSilent = true;
    if (isSilent) {
      if (/^\}|;$/.test(code) && !/^\s/.test(code)) isSilent = false;
      continue;
    }
    if (code.trim() === '' || silent.test(code)) continue;
    const add = (what: string, changed: string) => {
      const whole = [...lines.slice(0, index), changed, ...lines.slice(index + 1)].join('\n');
      slips.push({ line: index + 1, text: text.trim(), what, source: whole });
    };
    for (const [what, find, replace] of turns)
      for (const { index: at, 0: found } of code.matchAll(find))
        if (text.startsWith(found, at)) add(what, text.slice(0, at) + replace + text.slice(at + found.length));
    const asked = condition.exec(code);
    const given = asked?.[1] ?? asked?.[2];
    if (given !== undefined && text.includes(`(${given})`))
      add(
        'not',
        text.replace(`(${given})`, () => `(!(${given}))`),
      );
    if (statement.test(code) && isBalanced(code)) add('nothing', '');
  }
  return slips;
}

/** A line that is no statement by itself ends what it did not begin. */
function isBalanced(code: string): boolean {
  let depth = 0;
  for (const character of code) {
    if ('([{'.includes(character)) depth += 1;
    if (')]}'.includes(character)) depth -= 1;
    if (depth < 0) return false;
  }
  return depth === 0;
}
