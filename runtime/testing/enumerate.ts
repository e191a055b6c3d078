/**
 * enumerate(): every interleaving of what can happen to a few entities, and what it leads to.
 *
 *     const report = enumerate({
 *       behaviours: [order, stock],
 *       clients: { ann: (ask) => ask(Order, '1').place({ … }) },
 *       invariant(world) { … },
 *       outcome: (world) => world.state(Order, '1').status,
 *     });
 *     assert.deepEqual(report.violations, []);
 *
 * Owns the options and the report. What is explored is in `steps.ts`, what is merged in `entity-states.ts`.
 */
import { type Behaviour, isBehaviour } from '../../core/behaviour.ts';
import type { EffectOutcome } from '../../core/effect.ts';
import { errorText, isSkerryError, SkerryError } from '../../core/errors.ts';
import { type GivenLimits, type Limits, limitsOf } from '../../core/limits.ts';
import {
  type Check,
  callable,
  checkOptions,
  count,
  finite,
  flag,
  list,
  type OptionTable,
  record,
} from '../../core/options.ts';
import { checkLimits } from '../options.ts';
import { type Ask, callsOf, type ScriptedCall } from './client-script.ts';
import { ClockMatters, EntityStates, type EnumerationClock } from './entity-states.ts';
import { type Found, Search } from './search.ts';
import { messageText, plainText, stepText } from './step-text.ts';
import { type Choices, type Chosen, type Situation, type Step, Steps } from './steps.ts';
import { SituationWorld, type World } from './world.ts';

/** What may go wrong in an enumeration. All of it does by default. */
export interface EnumeratedFaults {
  /**
   * Entities refuse what they are asked, whatever their state: `true`, the first step of each tentative operation that an entity
   * sends; a list, the operations named `stock.reserve`, or their steps `stock.reserve.confirm` and `stock.reserve.cancel`.
   */
  readonly refusals?: boolean | readonly string[] | undefined;
  /** The same for turns that keep failing, so that their message becomes a dead letter and the sender hears `failed`. */
  readonly failures?: boolean | readonly string[] | undefined;
  /** Messages are under way, and effects run, while dates pass: holds lapse before the word comes. */
  readonly delays?: boolean | undefined;
  /** Owners die and are away while dates pass: what is due runs late. Each turn that is lost by that is run again in any case. */
  readonly crashes?: boolean | undefined;
  /** A client that has not heard its answer makes its call once more, as a new one. Copies of messages are recognised in any case. */
  readonly duplicates?: boolean | undefined;
  /** Time also stops a millisecond before each date, for handlers that compare how much is left. */
  readonly lastMoments?: boolean | undefined;
}

export interface EnumerateOptions {
  /** Of all types that are asked. */
  readonly behaviours: readonly Behaviour[];
  /** What clients ask. Each makes its calls in its order, at any time. Its name is its identity. */
  readonly clients: Readonly<Record<string, (ask: Ask) => void>>;
  /** Calls that are made before, one by one, each with all that follows at once from it. */
  readonly before?: ((ask: Ask) => void) | undefined;
  /** Throws if something is wrong. Called in every situation. */
  readonly invariant?: ((world: World) => void) | undefined;
  /** Names what an end amounts to; throws if it should not be. Called in every situation in which nothing more can happen. */
  readonly outcome?: ((world: World) => string) | undefined;
  readonly faults?: EnumeratedFaults | undefined;
  /** By the name of an effect: the outcomes that it can have for an input. */
  readonly effects?: Readonly<Record<string, (input: never) => readonly EffectOutcome<unknown>[]>> | undefined;
  readonly limits?: GivenLimits | undefined;
  /** Start time of the clock, ms since 1970 (default 0). */
  readonly now?: number | undefined;
  /** The most situations to look at (default 1,000,000). If there are more, `enumerate` throws `too-large`. */
  readonly statesMax?: number | undefined;
}

/** What is wrong, and the shortest way there. */
export interface Counterexample {
  readonly text: string;
  /** One line for each step. */
  readonly trace: readonly string[];
  /** The situation in which it is wrong: a line for each entity and each message under way. */
  readonly situation: readonly string[];
}

export interface EnumerationReport {
  /**
   * How situations are told apart by their time. `relative`: by the time that is left until each date. `absolute`: by the time of day
   * as well, because a handler sees it (`turn.now`) or keeps it; there are then more of them.
   */
  readonly clock: 'relative' | 'absolute';
  /** Situations that were looked at, and steps between them. */
  readonly states: number;
  readonly transitions: number;
  /** Steps of the longest of the shortest ways to a situation. */
  readonly depth: number;
  /** Different turns that were run. */
  readonly turns: number;
  /** By the name that `outcome` gave: situations in which nothing more can happen. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** How often each kind of step was taken. */
  readonly steps: Readonly<Record<string, number>>;
  /** At most one. */
  readonly violations: readonly Counterexample[];
  /** All of that, to print. */
  readonly text: string;
}

const chosen: Check = (value) => (Array.isArray(value) ? list(value) : flag(value));

export const enumerateOptions: OptionTable<EnumerateOptions> = {
  behaviours: list,
  clients: record,
  before: callable,
  invariant: callable,
  outcome: callable,
  faults: record,
  effects: record,
  limits: record,
  now: finite,
  statesMax: count(1),
};

export const enumeratedFaults: OptionTable<EnumeratedFaults> = {
  refusals: chosen,
  failures: chosen,
  delays: flag,
  crashes: flag,
  duplicates: flag,
  lastMoments: flag,
};

const statesDefault = 1_000_000;

/**
 * Explore every interleaving of what can happen to a few entities: clients call, messages arrive, entities refuse and fail, dates
 * come, early or late. Each situation is looked at once, so the result is complete: an empty list of violations says that there is no
 * way to one. Throws `invalid-definition` for wrong options, and `too-large` if there are more than `statesMax` situations.
 */
export function enumerate(options: EnumerateOptions): EnumerationReport {
  return explore(options, false);
}

/** The same; `isExact`: without merging what only counts (EI1), for a test of that. */
export function explore(options: EnumerateOptions, isExact: boolean): EnumerationReport {
  if (isExact) return new Enumeration(options, 'absolute', true).report();
  try {
    return new Enumeration(options, 'relative', false).report();
  } catch (error) {
    if (!(error instanceof ClockMatters)) throw error;
    return new Enumeration(options, 'absolute', false).report();
  }
}

class Enumeration {
  readonly #options: EnumerateOptions;
  readonly #clock: EnumerationClock;
  readonly #entities: EntityStates;
  readonly #calls: readonly ScriptedCall[];
  readonly #steps: Steps;
  readonly #search: Search;
  readonly #outcomes = new Map<string, number>();

  constructor(options: EnumerateOptions, clock: EnumerationClock, isExact: boolean) {
    this.#clock = clock;
    const { before, clients, effects = {}, now = 0 } = checked(options);
    this.#options = options;
    const limits = limitsOf(options.limits);
    const behaviours = new Map(options.behaviours.map((one) => [one.contract.type, one]));
    this.#entities = new EntityStates({ behaviours, limits, clock, isExact });
    this.#calls = Object.entries(clients).flatMap(([name, script]) => callsOf(name, script));
    const horizonMs = horizonOf(options, limits);
    const choices = choicesOf(options.faults, options.behaviours);
    this.#steps = new Steps({
      entities: this.#entities,
      calls: this.#calls,
      choices,
      effects,
      start: now,
      clock,
      horizonMs,
    });
    const start = this.#steps.start(before === undefined ? [] : callsOf('before', before));
    const visits = {
      check: (situation: Situation, isOver: boolean) => this.#check(situation, isOver),
      hint: () => hintOf(this.#entities.counts),
    };
    this.#search = new Search(this.#steps, start, visits, options.statesMax ?? statesDefault);
  }

  #check(situation: Situation, isOver: boolean): string | undefined {
    const { invariant, outcome } = this.#options;
    const world = new SituationWorld(situation, this.#steps, this.#calls, isOver);
    try {
      invariant?.(world);
      if (!isOver) return undefined;
      const name = outcome?.(world) ?? 'end';
      this.#outcomes.set(name, (this.#outcomes.get(name) ?? 0) + 1);
    } catch (error) {
      if (isSkerryError(error, 'invalid-definition')) throw error;
      return errorText(error);
    }
    return undefined;
  }

  report(): EnumerationReport {
    const found = this.#search.run();
    const { states, transitions, depth, counts } = this.#search;
    const outcomes = Object.fromEntries([...this.#outcomes].sort(([one], [other]) => (one < other ? -1 : 1)));
    const violations = found === undefined ? [] : [this.#counterexample(found)];
    const steps = Object.fromEntries(counts);
    const report = {
      clock: this.#clock,
      states,
      transitions,
      depth,
      turns: this.#entities.turns,
      outcomes,
      steps,
      violations,
    };
    return { ...report, text: reportText(report) };
  }

  #counterexample({ problem, way }: Found): Counterexample {
    const trace = linesOf(way).map((line, index) => `${index + 1}. ${line}`);
    const situation = way.at(-1)?.next;
    return { text: problem, trace, situation: situation === undefined ? [] : this.#situationText(situation) };
  }

  #situationText(situation: Situation): string[] {
    const states = this.#steps.addresses.map(
      (address) => `${address} ${plainText(this.#steps.stateOf(situation, address).record.state.value)}`,
    );
    const messages = this.#steps
      .underway(situation)
      .map(({ from, to, message }) => `under way: ${from} → ${to} ${messageText(message)}`);
    return [...states, ...messages];
  }
}

function checked(options: EnumerateOptions): EnumerateOptions {
  checkOptions('enumerate()', options, enumerateOptions);
  checkOptions('the faults of enumerate()', options.faults ?? {}, enumeratedFaults);
  checkLimits(options.limits ?? {});
  const { behaviours = [], clients = {} } = options;
  if (behaviours.length === 0 || !behaviours.every(isBehaviour))
    throw refusal("'behaviours' must be made by behaviour()");
  for (const { contract, durability } of behaviours)
    if (durability !== 'turn')
      throw refusal(`'${contract.type}' is not durable by turn: what a crash takes from it cannot be enumerated yet`);
  const types = behaviours.map(({ contract }) => contract.type);
  const twice = types.find((type, index) => types.indexOf(type) !== index);
  if (twice !== undefined) throw refusal(`there are two behaviours of '${twice}'`);
  if (Object.keys(clients).length === 0) throw refusal("'clients' is empty: nothing would happen");
  for (const script of Object.values(clients))
    if (typeof script !== 'function') throw refusal("each of 'clients' must be a function that asks");
  return options;
}

function refusal(text: string): SkerryError {
  return new SkerryError('invalid-definition', `enumerate(): ${text}`);
}

function choicesOf(given: EnumeratedFaults = {}, behaviours: readonly Behaviour[]): Choices {
  const {
    refusals = true,
    failures = true,
    delays = true,
    crashes = true,
    duplicates = true,
    lastMoments = true,
  } = given;
  const known = behaviours.flatMap(({ contract: { type, operations } }) =>
    Object.entries(operations).flatMap(([name, { kind }]) => {
      const operation = `${type}.${name}`;
      return kind === 'tentative' ? [operation, `${operation}.confirm`, `${operation}.cancel`] : [operation];
    }),
  );
  for (const name of [refusals, failures].flatMap((one: Chosen) => (typeof one === 'boolean' ? [] : one)))
    if (!known.includes(name))
      throw refusal(`there is no operation '${name}' to refuse or to fail; there are ${known.join(', ')}`);
  return { refusals, failures, delays, crashes, duplicates, lastMoments };
}

/** No message is older than that when it is processed, and nothing is forgotten before. */
function horizonOf({ behaviours }: EnumerateOptions, { horizonMs }: Limits): number {
  return Math.min(...behaviours.map((one) => one.horizonMs ?? horizonMs));
}

/** A line for each step; time that passes without anything is one. */
function linesOf(way: readonly Step[]): string[] {
  const lines: string[] = [];
  let passedMs = 0;
  for (const { ms, text } of way) {
    if (ms > 0 && passedMs > 0) lines.pop();
    passedMs = ms > 0 ? passedMs + ms : 0;
    lines.push(ms > 0 ? stepText.time(passedMs) : text());
  }
  return lines;
}

/** Which entities have the most states. */
function hintOf(counts: ReadonlyMap<string, number>): string {
  const most = [...counts].sort(([, one], [, other]) => other - one).slice(0, 3);
  return `Different states so far: ${most.map(([address, states]) => `${address} ${states.toLocaleString('en')}`).join(', ')}`;
}

function reportText(report: Omit<EnumerationReport, 'text'>): string {
  const { clock, states, transitions, depth, turns, outcomes, steps, violations } = report;
  const say = (count: number) => count.toLocaleString('en');
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${say(count)}`)
      .join(', ');
  const lines = [
    `${say(states)} situations (${clock} clock), ${say(transitions)} steps, ${say(turns)} different turns; at most ${depth} steps deep`,
    `steps: ${list(steps)}`,
    `ends: ${list(outcomes)}`,
  ];
  for (const { text, trace, situation } of violations)
    lines.push(`violation: ${text}`, ...trace.map((line) => `  ${line}`), ...situation.map((line) => `  = ${line}`));
  return lines.join('\n');
}
