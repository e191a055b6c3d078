/** One entity on a bench: turns run by `runTurn` as in the runtime, with the test's own clock and random numbers. */
import { type Arrival, type Content, lineageOf } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import type { EffectOutcome } from '../../core/effect.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { addressOf, type PartnerId } from '../../core/message.ts';
import type { EntityRecord } from '../../core/record.ts';
import type { Request, TurnEnvironment } from '../../core/request.ts';
import { bury, runTurn, type TurnResult } from '../../core/turn.ts';
import { fingerprintOf } from '../../runtime/entity/fingerprint.ts';
import { freshRecord } from '../../runtime/entity/record-reader.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { assert } from './suite.ts';

type Committed = Extract<TurnResult, { kind: 'committed' }>;
const nothing = new Uint8Array(0);

export function contentOf(operation: string, input?: unknown, change: Partial<Content> = {}): Content {
  const payload = input === undefined ? nothing : encode(input);
  return { kind: 'operation', operation, payload, hold: '', wantsAnswer: false, ...change };
}

export class Bench {
  readonly behaviour: Behaviour;
  record: EntityRecord;
  readonly limits: Limits;
  now = 1_000;
  #handlers: Readonly<Record<string, unknown>>;
  readonly #numbers = new Map<PartnerId, number>();

  constructor(behaviour: Behaviour, options: { key?: string; limits?: Partial<Limits> } = {}) {
    this.behaviour = behaviour;
    const key = options.key ?? 'one';
    this.record = freshRecord(addressOf(behaviour.contract.type, key), behaviour);
    this.record.lineage = lineageOf('bench', 1);
    this.limits = { ...defaultLimits, ...options.limits };
    this.#handlers = behaviour.instantiate(key);
  }

  /** The same entity loaded by another worker from its record; numbers and clock continue. */
  with(record: EntityRecord): this {
    this.record = record;
    return this;
  }

  get environment(): TurnEnvironment {
    return { now: this.now, random: () => 0.25, encode, decode, fingerprint: fingerprintOf, limits: this.limits };
  }

  request(from: PartnerId, content: Content, arrival: Partial<Arrival> = {}): Extract<Request, { kind: 'message' }> {
    const seq = (this.#numbers.get(from) ?? 0) + 1;
    const dates = { expires: this.now + 1_000, sent: this.now, keepMs: 0 };
    return { kind: 'message', partner: from, arrival: { session: 1, seq, floor: seq, ...dates, ...arrival }, content };
  }

  run(request: Request): TurnResult {
    const result = runTurn(this.record, this.behaviour, this.#handlers, request, this.environment);
    if (result.kind === 'committed' && request.kind === 'message')
      this.#numbers.set(request.partner, request.arrival.seq);
    return result;
  }

  send(from: PartnerId, content: Content): TurnResult {
    return this.run(this.request(from, content));
  }

  /** A call by a client. A turn that throws is an answer too. */
  ask(operation: string, input?: unknown, change: Partial<Content> = {}): TurnResult {
    return this.send('@client', contentOf(operation, input, change));
  }

  timer(name: string): TurnResult {
    return this.run({ kind: 'due', part: 'timers', id: name });
  }

  lapse(hold: string): TurnResult {
    return this.run({ kind: 'due', part: 'holds', id: hold });
  }

  settle(id: string, outcome: EffectOutcome<unknown>): TurnResult {
    return this.run({ kind: 'effect', id, outcome });
  }

  bury(request: Request, error: unknown): TurnResult {
    return bury(this.record, this.behaviour, request, { error, attempts: 16 }, this.environment);
  }

  /** The outbox's messages for a partner. */
  outbox(partner: PartnerId): readonly Content[] {
    return (this.record.activities.get(partner)?.outbound?.unacked ?? []).map(({ content }) => content);
  }

  /** Everything in the record that a turn can change, except inbound activities, as plain data. */
  get picture(): unknown {
    const { state, timers, holds, effects, dead, outboxCount, outboxBytes, activities } = this.record;
    const applications = [...activities].flatMap(([partner, { application }]) =>
      application.value === undefined ? [] : [[partner, application.value]],
    );
    const outboxes = [...activities]
      .map(([partner]) => ({ partner, waiting: this.outbox(partner) }))
      .filter(({ waiting }) => waiting.length > 0);
    const parts = { timers: [...timers], holds: [...holds], effects: [...effects], dead: [...dead] };
    const bytes = [outboxBytes, timers.bytes, holds.bytes, effects.bytes];
    return structuredClone({ state: state.value, outboxCount, bytes, applications, outboxes, ...parts });
  }
}

export function committed(result: TurnResult): Committed {
  assert.is(result.kind, 'committed', result.kind === 'threw' ? String(result.error) : '');
  return result as Committed;
}

/** The status of a reply and what follows it. */
export function rowOf(result: TurnResult): unknown[] {
  return [...(decode(committed(result).answer) as unknown[])];
}

export function inputOf(content: Content | undefined): unknown {
  return content === undefined || content.payload.length === 0 ? undefined : decode(content.payload);
}
