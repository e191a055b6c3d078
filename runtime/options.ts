/**
 * Checks of the options of `embed`, `serve`, `connect` and `play`, made before anything is opened.
 *
 * They throw `invalid-definition` with one line that says what is wrong and what would be right.
 */
import { checkHolds } from '../core/agreed.ts';
import { type Behaviour, isBehaviour } from '../core/behaviour.ts';
import { SkerryError } from '../core/errors.ts';
import { defaultLimits, type GivenLimits, limitsOf } from '../core/limits.ts';
import { isIdentity } from '../core/message.ts';
import {
  anything,
  atLeast,
  type Check,
  checkOptions,
  described,
  duration,
  share,
  withFunctions,
} from '../core/options.ts';
import type { HostedType } from '../placement/view.ts';

export const clock = withFunctions('an environment', 'now', 'steady', 'after', 'soon', 'random', 'newId');
export const openedTransport = withFunctions('a transport that is open', 'listen', 'send', 'onAbsent', 'close');

/** The types that a worker with these behaviours announces. */
export function hostedTypes(behaviours: readonly Behaviour[]): HostedType[] {
  return behaviours.map(({ contract, labels }) => ({ type: contract.type, labels }));
}

/** Limits that are part of the format of addresses, names and stored values. */
const fixedLimits: ReadonlySet<string> = new Set(['keyBytesMax', 'identityBytesMax', 'nameLengthMax', 'depthMax']);
/** Limits that must not be 0, because then nothing would ever be written. */
const neededLimits: ReadonlySet<string> = new Set(['groupCountMax', 'groupBytesMax']);

function limitCheck(name: string, value: unknown): Check {
  if (fixedLimits.has(name)) return (given) => (given === value ? undefined : `cannot be changed: it is ${value}`);
  if (neededLimits.has(name)) return atLeast(1);
  return /Ms(?:Max)?$/.test(name) ? duration : share;
}

const limitTable = Object.fromEntries(
  Object.entries(defaultLimits).map(([name, value]) => [name, limitCheck(name, value)]),
);

export function checkLimits(limits: GivenLimits): void {
  checkOptions('limits', limits, limitTable);
  const { lifeMsMax, deadlineMs, horizonMs } = limitsOf(limits);
  for (const [name, ms] of Object.entries({ deadlineMs, horizonMs }))
    if (ms > lifeMsMax)
      throw new SkerryError('invalid-definition', `The limit '${name}' (${ms}) exceeds lifeMsMax (${lifeMsMax})`);
}

/** The identity in the options of a handle's `connect`. Throws `invalid-definition`. */
export function identityIn(options: { readonly identity: string }): string {
  checkOptions('connect()', options, { identity: anything });
  return checkedIdentity(options.identity);
}

/** Throws `invalid-definition` for an identity that is not well formed or is too long. */
export function checkedIdentity(identity: string): string {
  if (typeof identity === 'string' && isIdentity(identity)) return identity;
  throw new SkerryError(
    'invalid-definition',
    `An identity must be well-formed Unicode of at most ${defaultLimits.identityBytesMax} bytes (identityBytesMax)`,
  );
}

export function checkBehaviours(behaviours: readonly Behaviour[], limits: GivenLimits = {}): void {
  checkAreBehaviours(behaviours);
  const { lifeMsMax } = limitsOf(limits);
  for (const { contract, horizonMs = 0 } of behaviours)
    if (horizonMs > lifeMsMax)
      throw new SkerryError(
        'invalid-definition',
        `horizonMs of the behaviour of '${contract.type}' (${horizonMs}) exceeds lifeMsMax (${lifeMsMax})`,
      );
  for (const one of behaviours) checkHolds(one, limitsOf(limits));
  const types = behaviours.map((behaviour) => behaviour.contract.type);
  const twice = types.find((type, index) => types.indexOf(type) !== index);
  if (twice !== undefined) throw new SkerryError('invalid-definition', `Two behaviours are registered for '${twice}'`);
  if (types.length === 0) throw new SkerryError('invalid-definition', 'A cluster needs at least one behaviour');
}

function checkAreBehaviours(given: unknown): void {
  if (!Array.isArray(given))
    throw new SkerryError(
      'invalid-definition',
      `behaviours must be an array of behaviours from behaviour(), not ${described(given)}`,
    );
  for (const [index, one] of (given as unknown[]).entries()) {
    if (isBehaviour(one)) continue;
    const isContract = typeof one === 'object' && one !== null && 'type' in one && 'operations' in one;
    const found = isContract
      ? `the contract '${String(one.type)}': pass its behaviour, from behaviour()`
      : described(one);
    throw new SkerryError('invalid-definition', `behaviours[${index}] is ${found}`);
  }
}
