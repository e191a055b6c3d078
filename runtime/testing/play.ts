/**
 * play(): one entity in memory, without a cluster, for unit tests of behaviours.
 *
 *     const tea = play(stock, 'tea');
 *     tea.ask.receive({ units: 3 });
 *     assert.is(tea.state.free, 3);
 *
 * Owns a record, a clock that only `advance` moves, and a seeded random number generator. Turns are the real ones
 * (`core/turn.ts`). Nothing is stored or sent; `takeSent` returns the messages.
 *
 * Longer than 400 lines because one object plays an entity: who calls it, its time, and what it sends and answers.
 */
import { lineageOf } from '../../core/activity.ts';
import { type Answer, type Behaviour, isBehaviour } from '../../core/behaviour.ts';
import type { Effect, EffectOutcome } from '../../core/effect.ts';
import { type AnyEntity, type Hold, type InputArguments, type StateOf, typeIn } from '../../core/entity.ts';
import { codeOf, isSkerryError, SkerryError, textOf } from '../../core/errors.ts';
import type { LaterAnswer } from '../../core/later.ts';
import { defaultLimits, durationProblem, type GivenLimits, limitsOf } from '../../core/limits.ts';
import { addressOf, clientPartner, type PartnerId } from '../../core/message.ts';
import type { AnyOperation, Command, OperationMap, Query, Tentative } from '../../core/operation.ts';
import { checkOptions, finite, type OptionTable, record } from '../../core/options.ts';
import { answerBody, readRow } from '../../core/perform.ts';
import type { EntityRecord } from '../../core/record.ts';
import { References } from '../../core/reference.ts';
import type { AnswerRow, Request, TurnEnvironment } from '../../core/request.ts';
import { storable } from '../../core/storable.ts';
import { answerQuery, runTurn } from '../../core/turn.ts';
import { dueTurns } from '../../core/turn-parts.ts';
import { fingerprintOf } from '../entity/fingerprint.ts';
import { freshRecord } from '../entity/record-reader.ts';
import { checkedIdentity, checkLimits } from '../options.ts';
import { decode, encode } from '../wire/codec.ts';
import { Asked } from './asked.ts';

/** A reference to the entity of a play: one method per operation, which runs at once, without a promise. A refusal throws `refused`. */
export type Player<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer Output>
    ? (...input: InputArguments<Given>) => Output
    : Operations[Name] extends Query<infer Given, infer _I, infer Output>
      ? (...input: InputArguments<Given>) => Output
      : Operations[Name] extends Tentative<infer Given, infer _I, infer Output>
        ? (...input: InputArguments<Given>) => PlayedHold<Output>
        : never;
};

/** The same for commands whose answer may come in a later turn (`turn.later`). */
export type LaterPlayer<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer _O>
    ? (...input: InputArguments<Given>) => PlayedCall<Operations[Name]>
    : never;
};

/** A call of a command. `answer` is `undefined` until a turn has answered it, and `failed` with the code `deadline` when its time is over. */
export interface PlayedCall<Operation> {
  readonly answer: Answer<Operation> | undefined;
}

/** A tentative operation that the entity has accepted. */
export interface PlayedHold<Output> {
  readonly hold: Hold;
  readonly output: Output;
  confirm(): void;
  cancel(): void;
}

/** A message that a turn sent. */
export interface SentMessage {
  readonly to: string;
  readonly kind: 'operation' | 'confirm' | 'cancel' | 'answer';
  readonly operation: string;
  /** The input; for an answer, its status with output, reason or code. */
  readonly input: unknown;
  readonly hold: Hold | undefined;
}

/** An effect that a turn performed. In a play its function does not run. */
export interface PerformedEffect {
  readonly name: string;
  readonly input: unknown;
  /** The `idempotencyKey` that its function would get. */
  readonly id: string;
}

export interface PlayOptions {
  /** Start time of the clock, ms since 1970 (default 0). */
  readonly now?: number | undefined;
  /** Seed of `turn.random` (default 1). */
  readonly seed?: number | undefined;
  readonly limits?: GivenLimits | undefined;
}

export const playOptions: OptionTable<PlayOptions> = { now: finite, seed: finite, limits: record };

/** One entity without a cluster, for unit tests. */
export interface Play<Contract extends AnyEntity> {
  /** Call operations as a client without an identity. */
  readonly ask: Player<Contract['operations']>;
  /** Call commands as a client that waits: what each call was answered is in what it returns. */
  readonly askLater: LaterPlayer<Contract['operations']>;
  /** Call operations as a client with this identity (`turn.from.identity`). */
  askAs(identity: string): Player<Contract['operations']>;
  /** Send operations as another entity. */
  askFrom(contract: AnyEntity, key: string): Player<Contract['operations']>;
  /**
   * Deliver another entity's answer to a message that this entity sent: to the one of the given hold, else to the oldest.
   * Throws `not-found` if no message waits for such an answer.
   */
  answer<From extends AnyEntity>(
    from: From,
    key: string,
    operation: keyof From['operations'] & string,
    answer: PlayedAnswer,
  ): void;
  /** Deliver the outcome of the oldest pending effect of that name. Throws `not-found` if there is none. */
  settle<Output>(effect: Effect<never, Output>, outcome: EffectOutcome<Output>): void;
  /** Pending effects, in the order in which turns performed them. `settle` removes them. */
  readonly effects: readonly PerformedEffect[];
  /** A copy of the state. */
  readonly state: StateOf<Contract>;
  /** A copy of the application's state about a partner; `undefined` if there is none. */
  activity(contract: AnyEntity, key: string): unknown;
  /** The messages sent since the last call, in order. */
  takeSent(): SentMessage[];
  /** The timers that are set, with their due times, ms since 1970. */
  readonly timers: readonly { readonly name: string; readonly due: number }[];
  /** The time of the clock, ms since 1970. */
  readonly now: number;
  /** Move the clock forward by `ms`. Timers and holds that become due run at their own time, in order. */
  advance(ms: number): void;
}

/** An answer of another entity, as passed to `Play.answer`. Without `hold` it is that of the message. */
export type PlayedAnswer =
  | { readonly status: 'done' | 'accepted'; readonly output?: unknown; readonly hold?: Hold | undefined }
  | { readonly status: 'confirmed' | 'cancelled' | 'lapsed'; readonly hold?: Hold | undefined }
  | {
      readonly status: 'refused';
      readonly reason: string;
      readonly detail?: unknown;
      readonly hold?: Hold | undefined;
    }
  | { readonly status: 'failed'; readonly code: string; readonly message: string; readonly hold?: Hold | undefined };

const clientId = 'play';

/**
 * Run one entity in memory, for a unit test of its behaviour. Time moves only by `advance`, and random numbers follow the
 * seed. Throws `invalid-definition` for an argument that is not a behaviour, and for wrong options.
 */
export function play<Contract extends AnyEntity>(
  behaviour: Behaviour<Contract>,
  key: string,
  options: PlayOptions = {},
): Play<Contract> {
  if (!isBehaviour(behaviour))
    throw new SkerryError('invalid-definition', 'play() takes a behaviour, from behaviour(), and a key');
  checkOptions('play()', options, playOptions);
  checkLimits(options.limits ?? {});
  return new Stage<Contract>(behaviour, key, options);
}

class Stage<Contract extends AnyEntity> implements Play<Contract> {
  readonly #behaviour: Behaviour<Contract>;
  readonly #record: EntityRecord;
  readonly #environment: { -readonly [Name in keyof TurnEnvironment]: TurnEnvironment[Name] };
  readonly #references: References<PartnerId>;
  readonly #waiting: References<PartnerId>;
  /** What commands that were put off were answered, by the id of their later answer. */
  readonly #answers = new Map<string, AnswerRow>();
  /** The one that the last turn has put off. */
  #putOff: LaterAnswer | undefined;
  readonly #numbers = new Map<PartnerId, number>();
  #handlers: Readonly<Record<string, unknown>> | undefined;
  readonly #asked: Asked;
  #sent: SentMessage[] = [];
  #holdCount = 0;
  /** The error that the last operation threw. Its answer has neither stack nor cause. */
  #thrown: unknown;

  constructor(behaviour: Behaviour<Contract>, key: string, options: PlayOptions) {
    const limits = limitsOf(options.limits);
    this.#behaviour = behaviour;
    this.#record = freshRecord(addressOf(behaviour.contract.type, key), behaviour, limits);
    this.#record.lineage = lineageOf('play', 1);
    this.#asked = new Asked(this.#record.address);
    this.#environment = {
      now: options.now ?? 0,
      random: chance(options.seed ?? 1),
      encode,
      decode,
      fingerprint: fingerprintOf,
      threw: (error) => {
        this.#thrown = error;
      },
      limits,
    };
    this.#references = new References<PartnerId>(
      (partner, name, operation, given) => this.#invoke(partner, name, operation, given[0]),
      () => true,
    );
    this.#waiting = new References<PartnerId>(
      (partner, name, _operation, given) => this.#await(partner, name, given[0]),
      (operation) => operation.kind === 'command',
    );
  }

  get askLater(): LaterPlayer<Contract['operations']> {
    const partner = clientPartner('', clientId);
    return this.#waiting.make(this.#behaviour.contract, partner) as LaterPlayer<Contract['operations']>;
  }

  get ask(): Player<Contract['operations']> {
    return this.askAs('');
  }

  askAs(identity: string): Player<Contract['operations']> {
    const partner = clientPartner(checkedIdentity(identity), clientId);
    return this.#references.make(this.#behaviour.contract, partner) as Player<Contract['operations']>;
  }

  askFrom(contract: AnyEntity, key: string): Player<Contract['operations']> {
    return this.#references.make(this.#behaviour.contract, addressOf(typeIn(contract), key)) as Player<
      Contract['operations']
    >;
  }

  get effects(): readonly PerformedEffect[] {
    return [...this.#record.effects.values()].map(({ id, name, payload }) => ({ name, input: inputOf(payload), id }));
  }

  get state(): StateOf<Contract> {
    return decode(encode(this.#record.state.value)) as StateOf<Contract>;
  }

  activity(contract: AnyEntity, key: string): unknown {
    const value = this.#record.activities.get(addressOf(typeIn(contract), key))?.application.value;
    return value === undefined ? undefined : decode(encode(value));
  }

  takeSent(): SentMessage[] {
    return this.#sent.splice(0);
  }

  get timers(): readonly { readonly name: string; readonly due: number }[] {
    return [...this.#record.timers.values()].map(({ name, due }) => ({ name, due }));
  }

  get now(): number {
    return this.#environment.now;
  }

  #invoke(partner: PartnerId, name: string, operation: AnyOperation, input: unknown): unknown {
    const payload = payloadOf(name, input);
    if (operation.kind === 'query') return this.#query(name, payload);
    const hold: Hold | undefined =
      operation.kind === 'tentative'
        ? { entity: this.#record.address, operation: name, id: `play-${++this.#holdCount}` }
        : undefined;
    const output = this.#outputOf(
      this.#message(partner, { kind: 'operation', operation: name, payload, hold: hold?.id ?? '', wantsAnswer: false }),
    );
    if (this.#putOff !== undefined)
      throw new SkerryError('failed', `'${name}' is answered later: call it through askLater`);
    if (hold === undefined) return output;
    return {
      hold,
      output,
      confirm: () => this.#resolve(partner, hold, 'confirm'),
      cancel: () => this.#resolve(partner, hold, 'cancel'),
    };
  }

  #await(partner: PartnerId, name: string, input: unknown): PlayedCall<Command<unknown, unknown, unknown>> {
    const payload = payloadOf(name, input);
    const row = this.#message(partner, { kind: 'operation', operation: name, payload, hold: '', wantsAnswer: false });
    const id = this.#putOff?.id;
    const rowNow = () => (id === undefined ? row : (this.#answers.get(id) ?? this.#openRow(id, name)));
    return {
      get answer() {
        const answer = rowNow();
        return answer && (answerBody(answer) as Answer<Command<unknown, unknown, unknown>>);
      },
    };
  }

  /** Undefined while it may still be answered. */
  #openRow(id: string, name: string): AnswerRow | undefined {
    if (this.#record.later.has(id)) return undefined;
    return ['failed', 'deadline', `${this.#record.address} did not answer ${name} in time`];
  }

  #resolve(partner: PartnerId, hold: Hold, kind: 'confirm' | 'cancel'): void {
    const row = this.#message(partner, {
      kind,
      operation: hold.operation,
      payload: new Uint8Array(0),
      hold: hold.id,
      wantsAnswer: false,
    });
    if (row[0] === 'lapsed' && kind === 'confirm') throw new SkerryError('lapsed', `The hold ${hold.id} had lapsed`);
    this.#outputOf(row);
  }

  #query(operation: string, payload: Uint8Array): unknown {
    const request = { operation, payload };
    return this.#outputOf(
      readRow(decode(answerQuery(this.#record, this.#behaviour, this.#instance(), request, this.#environment))),
    );
  }

  answer(from: AnyEntity, key: string, operation: string, answer: PlayedAnswer): void {
    const partner = addressOf(typeIn(from), key);
    const message = this.#asked.find(partner, operation, answer);
    const payload = encode(storable(answerRow(answer), 'answer'));
    const content = { kind: 'answer', operation, payload, hold: message.hold, wantsAnswer: false } as const;
    const row = this.#message(partner, content);
    this.#asked.answered(message, answer);
    this.#outputOf(row);
  }

  settle<Output>(effect: Effect<never, Output>, outcome: EffectOutcome<Output>): void {
    const pending = [...this.#record.effects.values()].find((one) => one.name === effect.name);
    if (pending === undefined) throw new SkerryError('not-found', `No effect '${effect.name}' is pending`);
    this.#turn({ kind: 'effect', id: pending.id, outcome });
  }

  advance(ms: number): void {
    const problem = durationProblem(ms);
    if (problem !== undefined) throw new SkerryError('invalid-input', `The argument of advance() ${problem}`);
    const until = this.#environment.now + ms;
    for (let next = dueTurns(this.#record, until)[0]; next !== undefined; next = dueTurns(this.#record, until)[0]) {
      this.#environment.now = Math.max(this.#environment.now, next.at);
      this.#turn(next.request);
    }
    this.#environment.now = until;
  }

  #instance(): Readonly<Record<string, unknown>> {
    this.#handlers ??= this.#behaviour.instantiate(this.#record.key);
    return this.#handlers;
  }

  #message(partner: PartnerId, content: Extract<Request, { kind: 'message' }>['content']): AnswerRow {
    const seq = (this.#numbers.get(partner) ?? 0) + 1;
    const arrival = {
      session: 1,
      seq,
      floor: seq,
      expires: this.now + this.#environment.limits.horizonMs,
      sent: this.now,
      keepMs: 0,
    };
    return this.#turn({ kind: 'message', partner, arrival, content });
  }

  #outputOf([status, first, second]: AnswerRow): unknown {
    if (status === 'refused') throw new SkerryError('refused', textOf(first), { detail: second });
    if (status !== 'failed') return first;
    const cause = this.#thrown;
    // For an invalid output a worker logs the reason only, because it may show the value. A test may see it.
    const reason = isSkerryError(cause) && cause.cause instanceof Error ? ` (${cause.cause.message})` : '';
    throw new SkerryError(codeOf(first), `${textOf(second)}${reason}`, { cause });
  }

  #turn(request: Request): AnswerRow {
    const result = runTurn(this.#record, this.#behaviour, this.#instance(), request, this.#environment);
    if (result.kind === 'threw') {
      if (this.#behaviour.isClass) this.#handlers = undefined;
      throw result.error;
    }
    if (result.kind !== 'committed') return ['done'];
    this.#putOff = result.putOff;
    for (const { later, bytes } of result.answered ?? []) this.#answers.set(later.id, readRow(decode(bytes)));
    this.#thrown = result.thrown?.error;
    if (this.#behaviour.isClass && result.thrown !== undefined) this.#handlers = undefined;
    if (request.kind === 'message') this.#numbers.set(request.partner, request.arrival.seq);
    for (const activity of result.sentTo) {
      for (const { content } of activity.outbound?.unacked.splice(0) ?? []) {
        this.#sent.push(sentMessage(activity.partner, content));
        this.#asked.add(activity.partner, content);
      }
    }
    this.#record.outboxCount = 0;
    this.#record.outboxBytes = 0;
    this.#record.changes.records.clear();
    return readRow(decode(result.answer));
  }
}

function sentMessage(
  to: PartnerId,
  { kind, operation, payload, hold }: Extract<Request, { kind: 'message' }>['content'],
): SentMessage {
  return {
    to,
    kind: kind === 'confirm' || kind === 'cancel' || kind === 'answer' ? kind : 'operation',
    operation,
    input: inputOf(payload),
    hold: hold === '' ? undefined : { entity: to, operation, id: hold },
  };
}

function payloadOf(name: string, input: unknown): Uint8Array {
  if (input === undefined) return new Uint8Array(0);
  return encode(storable(input, `input of ${name}`, defaultLimits.messageBytesMax));
}

function inputOf(payload: Uint8Array): unknown {
  return payload.length === 0 ? undefined : decode(payload);
}

function answerRow(answer: PlayedAnswer): AnswerRow {
  switch (answer.status) {
    case 'done':
    case 'accepted':
      return [answer.status, answer.output];
    case 'refused':
      return [answer.status, answer.reason, answer.detail];
    case 'failed':
      return [answer.status, answer.code, answer.message];
    default:
      return [answer.status];
  }
}

/** A small random number generator (mulberry32, Tommy Ettinger): the same seed gives the same play. */
function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}
