/**
 * Attempts: runs the turn of a message again and again until it finishes, or until the message becomes a dead letter.
 *
 *     caution? ─wait─▶ noted first, then again
 *        │ run                                 ┌─ needs an activity ─▶ read it, then again
 *     perform ─┬─ committed, void ─▶ done      ├─ no room, or cannot be run under its key ─▶ turned away
 *              └─ otherwise ───────────────────┴─ threw ─▶ again after a pause ─ `attemptsMax` times ─▶ dead letter
 *
 * Owns tries, pauses, instances of actor classes, and log lines about turns that threw. `turns.ts` owns what follows a
 * committed turn.
 *
 * Invariants:
 * - N2 A message whose turn throws blocks only its own stream. After `attemptsMax` tries it is a dead letter, and the stream
 *   continues.
 * - N5 An error thrown by a turn is logged once per message, with its stack, and is in the dead letter; the sender never gets the
 *   stack.
 */
import type { Because } from '../../core/agreement.ts';
import type { AgreementNews } from '../../core/agreement-part.ts';
import { isSkerryError, SkerryError, stackText } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { isKeyPartner, type PartnerId } from '../../core/message.ts';
import type { Request, TurnEnvironment } from '../../core/request.ts';
import { answerQuery, bury, failedRow, isNotRun, runTurn, type TurnResult } from '../../core/turn.ts';
import { askedBy } from '../../core/turn-parts.ts';
import type { Environment } from '../environment.ts';
import type { Counter, Counters } from '../meter.ts';
import { decode, encode } from '../wire/codec.ts';
import type { QueryEnvelope, ReplyEnvelope } from '../wire/envelope.ts';
import type { Activation } from './activation.ts';
import type { CrashNotes } from './crash-notes.ts';
import { fingerprintOf } from './fingerprint.ts';
import { recall } from './idle.ts';
import type { Item } from './mailbox.ts';

export interface AttemptParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly crashNotes: CrashNotes;
  readonly counters: Counters;
  /** Reads an activity from the store. The activation runs nothing meanwhile. */
  readonly readActivity: (activation: Activation, partner: PartnerId) => void;
  readonly wakeBy: (activation: Activation, at: number) => void;
}

/** A client is told at once, and nothing is remembered. */
interface TurnedAway {
  readonly kind: 'turned-away';
  readonly status: ReplyEnvelope['status'];
  readonly bytes: Uint8Array;
}

/** The cause of a turn: the key under which its tries are counted, and the item that returns to the mailbox for another. */
interface Asking {
  readonly key: string;
  readonly item: Item;
  readonly request: Request;
}

type Concluded = Exclude<TurnResult, { kind: 'threw' | 'needs' }>;

/** Interval within which the same error is logged once, with a count, ms; and the most different errors counted. */
const quietMs = 10_000;
const quietCountMax = 256;
const noBytes: Uint8Array = new Uint8Array(0);

export class Attempts {
  readonly #parts: AttemptParts;
  readonly #environment: { -readonly [Name in keyof TurnEnvironment]: TurnEnvironment[Name] };
  readonly #logged = new Map<string, { readonly until: number; count: number }>();
  #queryError: { readonly error: unknown } | undefined;
  readonly #turns: Counter;

  constructor(parts: AttemptParts) {
    this.#parts = parts;
    this.#turns = parts.counters.of('turns');
    const codec = { encode, decode, fingerprint: fingerprintOf };
    this.#environment = {
      now: 0,
      random: () => parts.environment.random(),
      threw: (error) => {
        this.#queryError = { error };
      },
      ...codec,
      limits: parts.limits,
    };
  }

  #turnEnvironment(): TurnEnvironment {
    this.#environment.now = this.#parts.environment.now();
    return this.#environment;
  }

  /** Runs a turn. Undefined: it will be requested again. */
  run(activation: Activation, asking: Asking): Concluded | TurnedAway | undefined {
    const { entity, behaviour } = activation;
    const { key, item, request } = asking;
    if (activation.isCautious) {
      const fate = this.#parts.crashNotes.ask(activation, item, key);
      if (fate === 'wait') return void activation.putBack(item, key);
      if (fate === 'fatal') return this.#buryFatal(activation, asking);
    }
    const environment = this.#turnEnvironment();
    if (entity.now > environment.now + environment.limits.skewMaxMs) this.#noteLead(activation, environment.now);
    let result: TurnResult | undefined = runTurn(entity, behaviour, this.handlers(activation), request, environment);
    this.#turns.add();
    if (result.kind === 'needs') return this.#needs(activation, asking, result.partner);
    if (result.kind === 'threw') {
      // The fields of an actor class are not part of the transaction: a turn that threw may have left them inconsistent.
      activation.forgetInstance();
      const away = turnedAway(item, result.error);
      if (away !== undefined) return away;
      result = this.#threw(activation, asking, result.error);
      if (result === undefined) return undefined;
    }
    activation.retries?.delete(key);
    if (result.kind === 'committed' && result.agreementNews !== undefined) this.#count(result.agreementNews);
    if (result.kind === 'committed' && result.thrown !== undefined) {
      activation.forgetInstance();
      this.#log(activation, request, result.thrown.error, 1);
    }
    return result;
  }

  #count(news: readonly AgreementNews[]): void {
    for (const { event, detail } of news)
      if (event === 'cancelled') this.#parts.counters.of(`agreements-cancelled-${detail as Because}`).add();
      else if (event !== 'resolved') this.#parts.counters.of(`agreements-${event}`).add();
  }

  /** An earlier turn ran under a wrong clock. From this turn on the entity's time is right again. */
  #noteLead({ address, entity }: Activation, now: number): void {
    this.#parts.environment.log.warn(
      { entity: address, aheadMs: Math.round(entity.now - now) },
      'the last turn of an entity ran under a clock that was too far ahead of this one: its dates may be wrong; later turns are not affected',
    );
  }

  #needs(activation: Activation, asking: Asking, partner: PartnerId): Concluded | TurnedAway | undefined {
    activation.forgetInstance();
    if (recall(activation)) return this.run(activation, asking);
    activation.putBack(asking.item, asking.key);
    this.#parts.readActivity(activation, partner);
    return undefined;
  }

  /** Undefined: the turn is tried again. */
  #threw(activation: Activation, { key, item, request }: Asking, error: unknown): Concluded | undefined {
    const attempts = (activation.retries?.get(key)?.attempts ?? 0) + 1;
    this.#log(activation, request, error, attempts);
    if (attempts < this.#parts.limits.attemptsMax) {
      this.#planRetry(activation, key, attempts, item);
      return undefined;
    }
    return this.#bury(activation, request, { error, attempts });
  }

  #bury(activation: Activation, request: Request, failure: { error: unknown; attempts: number }): Concluded {
    this.#parts.environment.log.error(
      { entity: activation.address, ...whatOf(activation, request), attempts: failure.attempts },
      'a message failed its last attempt and is now a dead letter',
    );
    return this.#burial(activation, request, failure);
  }

  #burial(activation: Activation, request: Request, failure: { error: unknown; attempts: number }): Concluded {
    return bury(activation.entity, activation.behaviour, request, failure, this.#turnEnvironment());
  }

  /** None of its turns finished. A client is told; a message becomes a dead letter (CN2). */
  #buryFatal(activation: Activation, { key, request }: Asking): Concluded {
    const error = this.#fatal(activation, whatOf(activation, request));
    activation.retries?.delete(key);
    return this.#burial(activation, request, { error, attempts: this.#parts.limits.fatalEndsMax });
  }

  #fatal({ address }: Activation, what: object): SkerryError {
    const { fatalEndsMax } = this.#parts.limits;
    const text = `the worker's process ended ${fatalEndsMax} times during this turn (fatalEndsMax): it is not run again`;
    this.#parts.environment.log.error({ entity: address, ...what }, text);
    return new SkerryError('failed', text);
  }

  #planRetry(activation: Activation, key: string, attempts: number, item: Item): void {
    const { environment, limits } = this.#parts;
    const pause = Math.min(100 * 2 ** (attempts - 1), limits.retryMsMax);
    const at = environment.now() + Math.ceil(pause * (0.75 + environment.random() / 2));
    activation.makeRetries().set(key, { attempts, at, item });
    this.#parts.wakeBy(activation, at);
  }

  /** The encoded answer to a query; undefined: the query will be run again. */
  query(activation: Activation, query: QueryEnvelope): Uint8Array | undefined {
    const { entity, behaviour } = activation;
    // A query does not create an entity that was never written.
    if (activation.isCautious && activation.storedVersion > 0) {
      const fate = this.#parts.crashNotes.ask(activation, query, '');
      if (fate === 'wait') return void activation.mailbox.unshift(query);
      if (fate === 'fatal') return encode(failedRow(this.#fatal(activation, { operation: query.operation })));
    }
    const bytes = answerQuery(entity, behaviour, this.handlers(activation), query, this.#turnEnvironment());
    if (this.#queryError !== undefined) {
      this.#say(activation, { operation: query.operation }, this.#queryError.error);
      this.#queryError = undefined;
    }
    return bytes;
  }

  handlers(activation: Activation): Readonly<Record<string, unknown>> {
    try {
      return activation.instance();
    } catch (error) {
      // The constructor of an actor class throws. Then each of its turns and queries throws too, where that is handled.
      return new Proxy({}, { get: () => raise(error) });
    }
  }

  /** Once per message: further tries usually throw the same (N5). */
  #log(activation: Activation, request: Request, error: unknown, attempt: number): void {
    if (attempt > 1) return;
    this.#say(activation, { ...whatOf(activation, request), attempt }, error);
  }

  #say({ address, behaviour }: Activation, what: What, error: unknown): void {
    // Errors of the caller are for the caller to read.
    if (isSkerryError(error, 'invalid-input') || isSkerryError(error, 'unknown-operation')) return;
    const stack = stackText(error);
    const now = this.#parts.environment.now();
    const name = `${behaviour.contract.type} ${what.operation} ${stack}`;
    const logged = this.#logged.get(name);
    if (logged !== undefined && now < logged.until) {
      logged.count += 1;
      return;
    }
    if (this.#logged.size >= quietCountMax) this.#logged.clear();
    this.#logged.set(name, { until: now + quietMs, count: 0 });
    const unsaid = logged === undefined || logged.count === 0 ? {} : { unsaid: logged.count };
    this.#parts.environment.log.warn({ entity: address, ...what, ...unsaid, stack }, 'a turn threw');
  }
}

interface What {
  readonly operation: string;
  readonly from?: string;
  readonly attempt?: number;
}

/** The request, as the log describes it. */
function whatOf({ entity }: Activation, request: Request): What {
  switch (request.kind) {
    case 'message':
      return { from: request.partner, operation: request.content.operation };
    case 'due': {
      const { member, part } = askedBy(entity, request) ?? {};
      return { from: member?.nameOf(part) ?? request.part, operation: member?.contentOf(part).operation ?? '' };
    }
    case 'effect':
      return { from: 'effect', operation: entity.effects.get(request.id)?.name ?? '' };
  }
}

/** Nothing is remembered without room, because a later try may find some (P12), nor of a turn that could not run (N4). */
function turnedAway(item: Item, error: unknown): TurnedAway | undefined {
  if (item.kind !== 'message' || item.replyTo === '') return undefined;
  if (isSkerryError(error, 'overloaded')) return { kind: 'turned-away', status: 'overloaded', bytes: noBytes };
  if (!isKeyPartner(item.from) || !isNotRun(error)) return undefined;
  return { kind: 'turned-away', status: 'not-run', bytes: encode(failedRow(error)) };
}

function raise(error: unknown): never {
  throw error;
}
