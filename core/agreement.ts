/**
 * agreement(): the declaration of an agreement between a hub and its parties. The hub confirms enough of them, or none (P13).
 *
 * Owns the declaration and its types. What a hub keeps of an open one is `agreement-part.ts`, what its turns do with it `hub.ts`;
 * handlers are registered with a behaviour by `agreed()` (`agreed.ts`).
 */
import type { Declined } from './behaviour.ts';
import { type AnyEntity, type InputArguments, typeIn } from './entity.ts';
import { SkerryError } from './errors.ts';
import { defaultLimits, durationProblem } from './limits.ts';
import type { OperationMap, Tentative } from './operation.ts';
import { checkOptions, duration, record } from './options.ts';

export type Cardinality = 'one' | 'many' | 'some';

/** How the parties of one role have answered. An accepted hold that may end before the word arrives counts as declined. */
export interface Tally {
  readonly asked: number;
  readonly open: number;
  readonly accepted: number;
  readonly declined: number;
}

/** A pure function of a tally. */
export type Rule = (tally: Tally) => 'confirm' | 'cancel' | 'wait';

/** One role in an agreement: which tentative operation, and how many must accept it. Made by `one`, `many` and `some`. */
export interface Party<out Count extends Cardinality, Given, out Output> {
  readonly count: Count;
  readonly type: string;
  readonly operation: string;
  /** How long the operation holds, ms; `undefined`: the limit `holdMs`. */
  readonly holdMs: number | undefined;
  /** Of `some`: how many are enough, or a rule. */
  readonly enough: number | Rule | undefined;
  /** Only for the compiler. */
  readonly given?: (input: Given) => void;
  /** Only for the compiler. */
  readonly output?: Output;
}

/** The tentative operations of a contract, each as a role: `many(Stock).reserve`. */
export type Parties<Operations extends OperationMap, Count extends Cardinality> = {
  readonly [Name in keyof Operations as Operations[Name] extends { kind: 'tentative' }
    ? Name
    : never]: Operations[Name] extends Tentative<infer Given, infer _I, infer Output>
    ? Party<Count, Given, Output>
    : never;
};

// biome-ignore lint/suspicious/noExplicitAny: the widest role; inference narrows it
export type PartyMap = Readonly<Record<string, Party<Cardinality, any, unknown>>>;

/** An agreement as declared. It stands beside the contracts: a type may be a party of its own agreement. */
export interface Agreement<Name extends string, Roles extends PartyMap> {
  readonly name: Name;
  readonly parties: Roles;
  readonly decideWithinMs: number;
}

// biome-ignore lint/suspicious/noExplicitAny: the widest agreement; inference narrows it
export type AnyAgreement = Agreement<string, any>;

/** One party that must accept. */
export function one<Of extends AnyEntity>(contract: Of): Parties<Of['operations'], 'one'> {
  return roles(contract, 'one', undefined);
}

/** A list of parties that must all accept. */
export function many<Of extends AnyEntity>(contract: Of): Parties<Of['operations'], 'many'> {
  return roles(contract, 'many', undefined);
}

/**
 * A list of parties, some of which must accept: `enough` of them, or as many as a pure rule requires. If more than `enough` accept, the
 * first in the list are confirmed and the others cancelled. With a rule, every party that accepted is confirmed.
 */
export function some<Of extends AnyEntity>(contract: Of, enough: number | Rule): Parties<Of['operations'], 'some'> {
  if (typeof enough !== 'function' && !(Number.isSafeInteger(enough) && enough >= 1))
    throw new SkerryError('invalid-definition', 'some() takes how many are enough, a whole number from 1, or a rule');
  return roles(contract, 'some', enough);
}

function roles<Operations extends OperationMap, Count extends Cardinality>(
  contract: AnyEntity,
  count: Count,
  enough: number | Rule | undefined,
): Parties<Operations, Count> {
  const type = typeIn(contract);
  const made: Record<string, Party<Count, unknown, unknown>> = {};
  for (const [operation, { kind, holdMs }] of Object.entries(contract.operations) as [string, Tentative<0, 0, 0>][])
    if (kind === 'tentative') made[operation] = { count, type, operation, holdMs, enough };
  return made as Parties<Operations, Count>;
}

/** What a role must have to be asked in time to be confirmed, for the time that an agreement may take, ms. */
export function holdNeededMs(
  decideWithinMs: number,
  { skewMaxMs, wordMs }: { readonly skewMaxMs: number; readonly wordMs: number },
): number {
  // Its end is by the party's clock, and the hub's is compared with it twice: when it was asked, and when it is decided.
  return decideWithinMs + 2 * skewMaxMs + wordMs;
}

/**
 * Declare an agreement: its parties by role, and how long it may take to decide, ms.
 *
 *     const Place = agreement('place', {
 *       parties: { stock: many(Stock).reserve, payment: one(Account).hold, courier: some(Courier, 1).offer },
 *       decideWithinMs: 10_000,
 *     });
 *
 * Throws `invalid-definition` for a wrong name, role or duration, and where a party holds for a shorter time than it may take to decide.
 */
export function agreement<const Name extends string, const Roles extends PartyMap>(
  name: Name,
  definition: { readonly parties: Roles; readonly decideWithinMs: number },
): Agreement<Name, Roles> {
  if (typeof name !== 'string' || !namePattern.test(name))
    throw new SkerryError(
      'invalid-definition',
      `'${String(name)}' cannot name an agreement: letters, digits and '-', at most 64`,
    );
  const where = `agreement('${name}')`;
  checkOptions(where, definition, { parties: record, decideWithinMs: duration });
  const { parties, decideWithinMs } = definition;
  const problem = durationProblem(decideWithinMs, 1);
  if (problem !== undefined) throw new SkerryError('invalid-definition', `decideWithinMs of ${where} ${problem}`);
  checkRoles(where, parties, decideWithinMs);
  return Object.freeze({ name, parties, decideWithinMs });
}

const namePattern = /^[a-zA-Z][a-zA-Z0-9-]{0,63}$/;

function checkRoles(where: string, parties: PartyMap | undefined, decideWithinMs: number): void {
  const named = Object.entries(parties ?? {});
  if (named.length === 0) throw new SkerryError('invalid-definition', `${where} has no parties`);
  for (const [role, party] of named) {
    if (!namePattern.test(role) || typeof party?.operation !== 'string' || typeof party.type !== 'string')
      throw new SkerryError(
        'invalid-definition',
        `The party '${role}' of ${where} must be a tentative operation of one(), many() or some(), as in one(Stock).reserve`,
      );
    const holdMs = party.holdMs ?? defaultLimits.holdMs;
    if (holdMs <= decideWithinMs)
      throw new SkerryError(
        'invalid-definition',
        `The party '${role}' of ${where} holds for ${holdMs} ms, which is no longer than decideWithinMs (${decideWithinMs})`,
      );
  }
}

type InputField<Given> = [] extends InputArguments<Given> ? { readonly input?: Given } : { readonly input: Given };

/** Whom to ask, and what. */
export type Asked<Given> = { readonly key: string } & InputField<Given>;

/** The parties of one agreement: one for each `one`, a list for each `many` and `some`. */
export type Invited<Roles extends PartyMap> = {
  readonly [Role in keyof Roles]: Roles[Role] extends Party<infer Count, infer Given, infer _O>
    ? Count extends 'one'
      ? Asked<Given>
      : readonly Asked<Given>[]
    : never;
};

/** Stands for an agreement that a turn has opened. A plain value: keep it in state, to cancel it or to name it. */
export interface OpenAgreement<Name extends string = string> {
  readonly agreement: Name;
  readonly id: string;
}

export type Accepted<Output> = { readonly key: string; readonly status: 'accepted'; readonly output: Output };

/** `open`: it had not answered. `cancelled`: it accepted, and is not among those that are confirmed. */
export type PartyAnswer<Output> =
  | Accepted<Output>
  | { readonly key: string; readonly status: 'cancelled'; readonly output: Output }
  | ({ readonly key: string } & Declined)
  | { readonly key: string; readonly status: 'open' };

type Answers<Roles extends PartyMap, Decision> = {
  readonly [Role in keyof Roles]: Roles[Role] extends Party<infer Count, infer _G, infer Output>
    ? Count extends 'some'
      ? readonly PartyAnswer<Output>[]
      : Decision extends 'confirm'
        ? Count extends 'one'
          ? Accepted<Output>
          : readonly Accepted<Output>[]
        : Count extends 'one'
          ? PartyAnswer<Output>
          : readonly PartyAnswer<Output>[]
    : never;
};

/**
 * Why an agreement was cancelled: too many parties declined; a rule said so; the application cancelled it; it was not decided in time;
 * or a hold would have ended before the word could arrive.
 */
export type Because = 'declined' | 'rule' | 'cancelled' | 'deadline' | 'lapsing';

/** What an agreement has come to. Confirmed means that every `one` and every `many` has accepted. */
export type Outcome<Name extends string, Roles extends PartyMap> =
  | { readonly decision: 'confirm'; readonly of: OpenAgreement<Name>; readonly parties: Answers<Roles, 'confirm'> }
  | {
      readonly decision: 'cancel';
      readonly because: Because;
      readonly of: OpenAgreement<Name>;
      readonly parties: Answers<Roles, 'cancel'>;
    };

/**
 * A party that was to be confirmed, and is not: its hold had ended, its confirm failed or is unknown there, or the word is a dead
 * letter of the hub.
 */
export type Breach<Name extends string, Roles extends PartyMap> = {
  [Role in keyof Roles & string]: {
    readonly of: OpenAgreement<Name>;
    readonly role: Role;
    readonly key: string;
    /** What it answered when it accepted. */
    readonly output: Roles[Role] extends Party<infer _C, infer _G, infer Output> ? Output : never;
    readonly why: 'lapsed' | 'failed' | 'undelivered';
  };
}[keyof Roles & string];
