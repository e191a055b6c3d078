/**
 * Options as applications give them: a name that is none, and a value that cannot be, are refused in one line that says what there is.
 *
 * Owns the checks of single values and the words; which options there are says a table beside each type of options, and the compiler that
 * none is missing there. JavaScript, and settings that were read from somewhere, give what types would refuse.
 */
import { SkerryError } from './errors.ts';
import { durationProblem } from './limits.ts';

/** Why a value cannot be this option's, as 'must be …, not …'; undefined: it can. Absent ones are not asked about. */
export type Check = (value: unknown) => string | undefined;

export type OptionTable<Options> = { readonly [Name in keyof Options]-?: Check };

/** Throws `invalid-definition`. `where`: whose options they are, as 'embed()'. */
export function checkOptions<Options>(where: string, given: unknown, table: OptionTable<Options>): void {
  const names = Object.keys(table);
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refusal(`${where} takes options { ${names.join(', ')} }, not ${described(given)}`);
  for (const name of Object.keys(given))
    if (!Object.hasOwn(table, name))
      throw refusal(
        `${where} has no option '${name}'; the ${names.length === 1 ? 'option is' : 'options are'} ${names.join(', ')}`,
      );
  for (const [name, check] of Object.entries<Check>(table)) {
    const value: unknown = Reflect.get(given, name);
    const problem = value === undefined ? undefined : check(value);
    if (problem !== undefined) throw refusal(`The option '${name}' of ${where} ${problem}`);
  }
}

function refusal(text: string): SkerryError {
  return new SkerryError('invalid-definition', text);
}

/** What a value is, for messages: never a text itself, which may be a password. */
export function described(value: unknown): string {
  if (value === undefined || value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return String(value);
  if (value === '') return 'an empty string';
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'function') return 'a function';
  return Array.isArray(value) ? 'an array' : `a value of the type ${typeof value}`;
}

const mustBe = (wanted: string, isSound: (value: unknown) => boolean): Check => {
  return (value) => (isSound(value) ? undefined : `must be ${wanted}, not ${described(value)}`);
};

export const anything: Check = () => undefined;
export const text = mustBe('a string', (value) => typeof value === 'string');
export const flag = mustBe('true or false', (value) => typeof value === 'boolean');
export const callable = mustBe('a function', (value) => typeof value === 'function');
export const record = mustBe(
  'an object',
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);
export const list = mustBe('an array', (value) => Array.isArray(value));
export const texts = mustBe(
  'an array of strings',
  (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
);
export const textOrTexts = mustBe(
  'a string, or an array of strings',
  (value) => typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string')),
);
export const finite = mustBe('a finite number', (value) => Number.isFinite(value));
export const atLeast = (least: number): Check =>
  mustBe(`a number of at least ${least}`, (value) => typeof value === 'number' && value >= least);
export const share = atLeast(0);
export const duration: Check = (value) => durationProblem(value);

/** A whole number from `least` on. */
export const count = (least: number): Check =>
  mustBe(`a whole number from ${least}`, (value) => Number.isSafeInteger(value) && Number(value) >= least);

export function choice(...names: readonly string[]): Check {
  const wanted = names.map((name) => `'${name}'`).join(' or ');
  return (value) => {
    if (typeof value === 'string' && names.includes(value)) return undefined;
    return `must be ${wanted}, not ${typeof value === 'string' ? `'${value}'` : described(value)}`;
  };
}

/** An object with these functions, as a store, a transport or a clock is. */
export function withFunctions(wanted: string, ...names: readonly string[]): Check {
  return mustBe(
    `${wanted} (with ${names.join(', ')})`,
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      names.every((name) => typeof Reflect.get(value, name) === 'function'),
  );
}
