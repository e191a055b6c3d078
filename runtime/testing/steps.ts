/**
 * Situations of an enumeration, and what can happen next in each.
 *
 * Owns the choices: which client calls, which message is processed, whether its receiver refuses or fails, which date comes, which
 * outcome an effect has, and when time passes. What a turn does is `entity-states.ts`'s, which situations are looked at is `search.ts`'s.
 *
 * Invariants:
 * - EI5 Messages of one entity to another are processed in the order sent (P6); nothing else has an order.
 * - EI6 Time passes from date to date, and stops a millisecond before each, so that what depends on time sees both ends of each span.
 */
import type { EffectOutcome } from '../../core/effect.ts';
import { SkerryError } from '../../core/errors.ts';
import { type Address, clientPartner, isEntityPartner, type PartnerId, typeOf } from '../../core/message.ts';
import type { AnswerRow } from '../../core/request.ts';
import { dueTurns } from '../../core/turn-parts.ts';
import { decode, encode } from '../wire/codec.ts';
import type { ScriptedCall } from './client-script.ts';
import type {
  Cause,
  EntityState,
  EntityStates,
  EnumeratedTurn,
  EnumerationClock,
  Injected,
  Underway,
} from './entity-states.ts';
import { type StepKind, stepText } from './step-text.ts';

/** Everything at one moment. What nothing has happened to yet is missing. */
export interface Situation {
  /** Ms since 1970; on a relative clock always that of the start. */
  readonly now: number;
  /** By the slot of the entity. */
  readonly states: readonly (EntityState | undefined)[];
  /** By the slot of the pair: messages under way, in order. */
  readonly streams: readonly (readonly Underway[] | undefined)[];
  /** By call: 0 not made, 1 made, 2 made twice. */
  readonly made: readonly number[];
  /** By call: the number of its answer. */
  readonly answers: readonly number[];
}

/** What can happen in a situation. */
export interface Step {
  readonly kind: StepKind;
  readonly next: Situation;
  /** What is wrong with it, whatever follows. */
  readonly problem: string | undefined;
  /** How much time passes. */
  readonly ms: number;
  readonly text: () => string;
}

/** Which turns are made to end otherwise: by `type.operation` or `type.operation.confirm`; `true`: the first step of each tentative operation. */
export type Chosen = boolean | readonly string[];

export interface Choices {
  readonly refusals: Chosen;
  readonly failures: Chosen;
  readonly delays: boolean;
  readonly crashes: boolean;
  readonly duplicates: boolean;
  readonly lastMoments: boolean;
}

export type Outcomes = Readonly<Record<string, (input: never) => readonly EffectOutcome<unknown>[]>>;

export interface StepsParts {
  readonly entities: EntityStates;
  readonly calls: readonly ScriptedCall[];
  readonly choices: Choices;
  readonly effects: Outcomes;
  /** The clock at the start, ms since 1970; a relative one never moves. */
  readonly start: number;
  readonly clock: EnumerationClock;
  /** Nothing is under way for longer than that. */
  readonly horizonMs: number;
}

const noMessages: readonly Underway[] = [];

export class Steps {
  readonly #parts: StepsParts;
  readonly #slots = new Map<Address, number>();
  readonly #addresses: Address[] = [];
  readonly #pairSlots = new Map<string, number>();
  readonly #pairs: { readonly from: Address; readonly to: PartnerId }[] = [];
  readonly #answerIds = new Map<string, number>();
  readonly #answers: AnswerRow[] = [];

  constructor(parts: StepsParts) {
    this.#parts = parts;
  }

  /** The situation after these calls, made one by one, each with what follows at once from it. */
  start(before: readonly ScriptedCall[]): Situation {
    const nothing = this.#parts.calls.map(() => 0);
    let situation: Situation = { now: this.#parts.start, states: [], streams: [], made: nothing, answers: nothing };
    for (const call of before) {
      const made = this.#ask(situation, call, 'call');
      situation = soundly(made?.step);
      for (let next = this.#follows(situation); next !== undefined; next = this.#follows(situation))
        situation = soundly(next);
    }
    return situation;
  }

  #follows(situation: Situation): Step | undefined {
    const steps: Step[] = [];
    this.#addMessages(situation, steps);
    for (const state of situation.states) if (state !== undefined) this.#addOwn(situation, state, steps);
    return steps[0];
  }

  // ---- what a situation has

  get addresses(): readonly Address[] {
    return this.#addresses;
  }

  stateOf({ states }: Situation, address: Address): EntityState {
    const slot = this.#slots.get(address);
    return (slot === undefined ? undefined : states[slot]) ?? this.#parts.entities.initial(address);
  }

  answer({ answers }: Situation, call: number): AnswerRow | undefined {
    return this.#answers[(answers[call] ?? 0) - 1];
  }

  underway({ streams }: Situation): { readonly from: Address; readonly to: PartnerId; readonly message: Underway }[] {
    return this.#pairs.flatMap((pair, slot) => (streams[slot] ?? noMessages).map((message) => ({ ...pair, message })));
  }

  /** The same for situations that are the same. */
  keyOf({ now, states, streams, made, answers }: Situation): string {
    let key = `${now}|${made.join('')}|${answers.join()}`;
    for (let slot = 0; slot < states.length; slot++) {
      const state = states[slot];
      if (state !== undefined) key += `|${slot}:${state.id}`;
    }
    for (let slot = 0; slot < streams.length; slot++) {
      const stream = streams[slot];
      if (stream === undefined || stream.length === 0) continue;
      key += `/${slot}`;
      for (const { id } of stream) key += `,${id}`;
    }
    return key;
  }

  // ---- what can happen

  /** All that can happen, always in the same order. */
  from(situation: Situation): Step[] {
    const steps: Step[] = [];
    this.#addCalls(situation, steps);
    this.#addMessages(situation, steps);
    for (const state of situation.states) if (state !== undefined) this.#addOwn(situation, state, steps);
    this.#addTime(situation, steps);
    return steps;
  }

  #addMessages(situation: Situation, steps: Step[]): void {
    for (let slot = 0; slot < situation.streams.length; slot++)
      if ((situation.streams[slot]?.length ?? 0) > 0) this.#addMessage(situation, slot, steps);
  }

  #addCalls(situation: Situation, steps: Step[]): void {
    const { calls, choices } = this.#parts;
    const waiting = new Set<string>();
    for (const [index, { client }] of calls.entries()) {
      const made = situation.made[index] ?? 0;
      if (made === 0) {
        if (!waiting.has(client)) steps.push(...this.#call(situation, index, 1));
        waiting.add(client);
      } else if (made === 1 && choices.duplicates) steps.push(...this.#call(situation, index, 2));
    }
  }

  /** A client calls, or asks again since it has not heard the answer. */
  #call(situation: Situation, index: number, time: number): Step[] {
    const call = this.#parts.calls[index] as ScriptedCall;
    const made = replaced(situation.made, index, time);
    const asked = this.#ask({ ...situation, made }, call, time === 1 ? 'call' : 'repeat');
    if (asked === undefined) return [];
    const { step, turn } = asked;
    if (time === 2) return [step];
    if (turn.kind !== 'committed' || turn.answer === undefined) return [step];
    const answers = replaced(step.next.answers, index, this.#answerId(turn.answer));
    return [{ ...step, next: { ...step.next, answers } }];
  }

  #ask(situation: Situation, { client, number, to, content }: ScriptedCall, kind: StepKind) {
    const partner = partnerOf(client, number, kind);
    const cause: Cause = { kind: 'message', partner, message: this.#parts.entities.message(content) };
    return this.#turn(situation, to, cause, { kind, injected: 'none' });
  }

  #answerId(answer: AnswerRow): number {
    const key = Buffer.from(encode(answer)).toString('latin1');
    let id = this.#answerIds.get(key);
    if (id === undefined) {
      id = this.#answers.push(answer);
      this.#answerIds.set(key, id);
    }
    return id;
  }

  /** The first message of a stream is processed (EI5), in each way that it can be. */
  #addMessage(situation: Situation, slot: number, steps: Step[]): void {
    const { from, to } = this.#pairs[slot] as { from: Address; to: PartnerId };
    const [message, ...rest] = situation.streams[slot] as readonly Underway[];
    if (message === undefined) return;
    const after = { ...situation, streams: replaced(situation.streams, slot, rest) };
    if (!isEntityPartner(to)) return;
    const cause: Cause = { kind: 'message', partner: from, message };
    const { refusals, failures } = this.#parts.choices;
    const ways: [StepKind, Injected][] = [['message', 'none']];
    if (isChosen(refusals, to, message)) ways.push(['refusal', 'refusal']);
    if (isChosen(failures, to, message)) ways.push(['failure', 'failure']);
    for (const [kind, injected] of ways) {
      const step = this.#turn(after, to, cause, { kind, injected });
      if (step !== undefined) steps.push(step.step);
    }
  }

  /** What an entity asks for by itself: the first date that has come, and the outcomes of its effects. */
  #addOwn(situation: Situation, state: EntityState, steps: Step[]): void {
    if ((state.dates[0] ?? Number.POSITIVE_INFINITY) <= situation.now) {
      const [due] = dueTurns(state.record, situation.now);
      const kind = due?.request.part === 'holds' ? 'lapse' : 'timer';
      const step =
        due === undefined
          ? undefined
          : this.#turn(situation, state.address, { kind: 'due', due }, { kind, injected: 'none' });
      if (step !== undefined) steps.push(step.step);
    }
    for (const { id, name, payload } of state.effects) {
      const input = payload.length === 0 ? undefined : decode(payload);
      for (const [index, outcome] of this.#outcomes(name, input).entries()) {
        const cause: Cause = { kind: 'effect', request: { kind: 'effect', id, outcome }, index };
        const step = this.#turn(situation, state.address, cause, { kind: 'effect', injected: 'none' });
        if (step !== undefined) steps.push(step.step);
      }
    }
  }

  #outcomes(name: string, input: unknown): readonly EffectOutcome<unknown>[] {
    const outcomes = this.#parts.effects[name];
    if (outcomes === undefined)
      throw new SkerryError(
        'invalid-definition',
        `The effect '${name}' is performed, and the option 'effects' of enumerate() does not say which outcomes it can have`,
      );
    return outcomes(input as never);
  }

  /** Time passes to the next date, or to just before it (EI6). */
  #addTime(situation: Situation, steps: Step[]): void {
    const { now, states, streams } = situation;
    const { choices, clock, entities, horizonMs } = this.#parts;
    let next = Number.POSITIVE_INFINITY;
    let isLate = false;
    for (const state of states) {
      if (state === undefined) continue;
      for (const due of state.dates) {
        if (due <= now) isLate = true;
        else if (due < next) next = due;
      }
    }
    if (next === Number.POSITIVE_INFINITY || (isLate && !choices.crashes)) return;
    const isUnderway =
      streams.some((stream) => stream !== undefined && stream.length > 0) ||
      states.some((state) => state !== undefined && state.effects.length > 0);
    if (isUnderway && (!choices.delays || next - now > horizonMs)) return;
    const ms = choices.lastMoments && next - now > 1 ? next - now - 1 : next - now;
    const later = states.map((state) => state && entities.later(state, ms));
    const after = { ...situation, states: later, now: clock === 'absolute' ? now + ms : now };
    const kind = isLate ? 'crash' : isUnderway ? 'delay' : 'time';
    steps.push({ kind, next: after, problem: undefined, ms, text: () => stepText.time(ms) });
  }

  #turn(
    situation: Situation,
    to: Address,
    cause: Cause,
    { kind, injected }: { readonly kind: StepKind; readonly injected: Injected },
  ): { readonly step: Step; readonly turn: EnumeratedTurn } | undefined {
    const { entities } = this.#parts;
    const state = this.stateOf(situation, to);
    const turn = entities.turn(state, cause, situation.now, injected);
    if (turn.kind === 'void') return undefined;
    const text = () => stepText.turn(state, cause, turn, kind);
    if (turn.kind === 'threw')
      return { turn, step: { kind, next: situation, problem: stepText.threw(to, turn), ms: 0, text } };
    const states = [...situation.states];
    const slot = this.#slotOf(to);
    states[slot] = turn.next === entities.initial(to) ? undefined : turn.next;
    const streams = turn.sent.length === 0 ? situation.streams : [...situation.streams];
    for (const { to: receiver, message } of turn.sent) this.#send(streams as never, to, receiver, message);
    let { answers } = situation;
    for (const { partner, answer } of turn.answered) {
      const call = this.#parts.calls.findIndex(({ client, number }) => partnerOf(client, number, 'call') === partner);
      if (call >= 0) answers = replaced(answers, call, this.#answerId(answer));
    }
    return { turn, step: { kind, next: { ...situation, states, streams, answers }, problem: undefined, ms: 0, text } };
  }

  #send(streams: (readonly Underway[] | undefined)[], from: Address, to: PartnerId, message: Underway): void {
    const key = `${from}\n${to}`;
    let slot = this.#pairSlots.get(key);
    if (slot === undefined) {
      slot = this.#pairs.push({ from, to }) - 1;
      this.#pairSlots.set(key, slot);
    }
    streams[slot] = [...(streams[slot] ?? noMessages), message];
  }

  #slotOf(address: Address): number {
    let slot = this.#slots.get(address);
    if (slot === undefined) {
      slot = this.#addresses.push(address) - 1;
      this.#slots.set(address, slot);
    }
    return slot;
  }
}

/** What a client is to whom it asks: another for each call, and for each time that it asks. */
function partnerOf(client: string, number: number, kind: StepKind): PartnerId {
  return clientPartner(client, `${number}-${kind}`);
}

/** Of what is done before an enumeration nothing may go wrong. */
function soundly(step: Step | undefined): Situation {
  if (step === undefined || step.problem !== undefined)
    throw new SkerryError('failed', `What is asked 'before' an enumeration failed: ${step?.problem ?? 'nothing'}`);
  return step.next;
}

function replaced<Value>(list: readonly Value[], index: number, value: Value): Value[] {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

function isChosen(chosen: Chosen, to: PartnerId, { content: { kind, operation, hold } }: Underway): boolean {
  if (kind !== 'operation' && kind !== 'confirm' && kind !== 'cancel') return false;
  if (typeof chosen === 'boolean') return chosen && kind === 'operation' && hold !== '';
  const name = `${typeOf(to)}.${operation}`;
  return chosen.includes(kind === 'operation' ? name : `${name}.${kind}`);
}
