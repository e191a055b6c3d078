/**
 * The calls of one client, from start to answer: identity, retries, deadlines, and the effect that an error states. A call
 * keeps its identity over all retries, so the entity processes it at most once (P4, P5).
 *
 * Owns the client's streams and the table of calls in flight. `client.ts` owns the content of a call and the translation of
 * its answer.
 *
 * Longer than 400 lines because start, retries and end of a call share one table and one alarm.
 *
 * Invariants:
 * - C1 A call settles once: with its answer, or with an error that states whether it may have taken effect.
 * - C2 An error states effect 'none' only if no entity can have processed the call: it was sent once and turned away, or
 *   never sent.
 * - C3 When a call is given up, the first call behind it is sent again at once. Its floor tells the entity to run the messages
 *   buffered behind the number; or, while an earlier call waits, what it is behind. One envelope is sent per call given up,
 *   however many calls wait.
 * - C6 A call asks to be remembered for as long as a copy of any earlier call of its stream may still arrive: the entity would
 *   take such a copy for a new call once it has forgotten the later one (P4).
 * - C5 The duration of a call follows its deadline, even if a clock is set. A call refused because clocks differ says so.
 */
import type { Content } from '../../core/activity.ts';
import type { CallOptions } from '../../core/entity.ts';
import {
  aboutIt,
  type CallEffect,
  codeOf,
  type ErrorCode,
  errorCodes,
  isSkerryError,
  SkerryError,
  textOf,
} from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { type Address, isPartner, keyPartner, type PartnerId } from '../../core/message.ts';
import { readRow } from '../../core/perform.ts';
import type { AnswerRow } from '../../core/request.ts';
import { Clocks } from '../clocks.ts';
import type { Environment } from '../environment.ts';
import { decode } from '../wire/codec.ts';
import type { Envelope, ReplyEnvelope } from '../wire/envelope.ts';
import { behind, type Extension } from '../wire/extension.ts';
import { RetryBudget } from './retry-budget.ts';

export interface ClientParts {
  readonly environment: Environment;
  readonly limits: Limits;
  /** The subject on which answers arrive. */
  readonly subject: string;
  readonly identity: string;
  readonly post: (envelope: Envelope) => void;
  /** Called when an entity is not where the view places it: there may be a later view. */
  readonly onMoved?: () => void;
  /** Called when the client is closed. */
  readonly closed?: () => void;
}

/** The stream of messages from this client to one entity. */
interface Stream {
  readonly session: number;
  next: number;
  /** Calls in flight, in order of number. The number of the first is the floor. */
  calls: readonly Call[];
  /** The highest number that was given up and that no answer to a later call has shown to be passed; else 0. */
  givenUp: number;
  usedAt: number;
  /** The latest deadline of all its calls, also of those that were given up: until then a copy may still arrive (C6). */
  deadline: number;
}

/** The target and content of a call. */
export interface CallRequest {
  readonly address: Address;
  readonly name: string;
  content: Content | undefined;
  query: Call['query'];
}

interface Call {
  readonly id: number;
  readonly address: Address;
  readonly content: Content | undefined;
  readonly query: { readonly operation: string; readonly payload: Uint8Array } | undefined;
  /** Monotonic time, like all dates here except `expires`: setting the clock does not change the duration of a call. */
  readonly startedAt: number;
  readonly deadline: number;
  /** The deadline by the wall clock, for the worker. */
  readonly expires: number;
  readonly stream: Stream | undefined;
  readonly seq: number;
  readonly from: string;
  readonly keepMs: number;
  attempts: number;
  /** Pauses since the last news of the entity's location. Each is twice as long as the one before. */
  pauses: number;
  /** When to send the call again or give it up, ms. */
  dueAt: number;
  /** Its name in error messages. */
  readonly name: string;
  readonly settle: (row: AnswerRow) => void;
  readonly fail: (error: unknown) => void;
}

const streamCountMax = 100_000;
/** Calls scanned per millisecond for due ones. With more calls in flight, scans are further apart. */
const looksPerMs = 2_000;
/** One answer in this many is used as a latency sample. */
const samplePeriod = 4;
/** Shared by all idle streams: a client has a stream for each entity that it has called. */
const none: readonly Call[] = [];

function putLast(stream: Stream, call: Call): void {
  if (stream.calls.length === 0) stream.calls = [call];
  else (stream.calls as Call[]).push(call);
}

function takeOut(stream: Stream, call: Call): void {
  const calls = stream.calls as Call[];
  if (calls.length === 1 && calls[0] === call) stream.calls = none;
  // Answers usually arrive in the order of the calls.
  else if (calls[0] === call) calls.shift();
  else calls.splice(calls.indexOf(call), 1);
}

export class Calls {
  readonly #parts: ClientParts;
  /** The client's partner name. */
  readonly #partner: string;
  readonly #streams = new Map<Address, Stream>();
  readonly #calls = new Map<number, Call>();
  /** Calls to be sent again soon, since one before them was given up. */
  readonly #behind = new Set<Call>();
  #alarmAt = Number.POSITIVE_INFINITY;
  #cancelAlarm: (() => void) | undefined;
  /** Bytes of the inputs of calls in flight. */
  #bytes = 0;
  #startedCount = 0;
  #sessionCount = 0;
  /** The latest deadline in a stream that was dropped. */
  #forgottenDeadline = 0;
  #isClosed = false;
  /** When all calls were last scanned, ms. */
  #rangAt = Number.NEGATIVE_INFINITY;
  readonly #budget: RetryBudget;
  readonly #clocks: Clocks;

  constructor(parts: ClientParts, partner: string) {
    this.#parts = parts;
    this.#partner = partner;
    this.#budget = new RetryBudget(parts);
    this.#clocks = new Clocks(parts);
  }

  /** Number of calls in flight. */
  get count(): number {
    return this.#calls.size;
  }

  /** Number of calls started so far. */
  get startedCount(): number {
    return this.#startedCount;
  }

  /** Start a call. Throws `closed`, `overloaded` or `invalid-input`. */
  start(
    { address, name, content, query }: CallRequest,
    options: CallOptions,
    settle: Call['settle'],
    fail: Call['fail'],
  ): void {
    const { environment, limits } = this.#parts;
    if (this.#isClosed) throw new SkerryError('closed', 'The cluster handle is closed');
    const { clientCallCountMax, clientCallBytesMax } = limits;
    if (this.#calls.size >= clientCallCountMax || this.#bytes >= clientCallBytesMax)
      throw new SkerryError(
        'overloaded',
        `This client has clientCallCountMax (${clientCallCountMax}) calls in flight, or clientCallBytesMax (${clientCallBytesMax}) of their inputs`,
      );
    const now = environment.steady();
    const keyed = checkedKey(options, this.#parts);
    const stream = content !== undefined && keyed === undefined ? this.#streamTo(address, now) : undefined;
    const deadlineMs = options.deadlineMs ?? limits.deadlineMs;
    const call: Call = {
      id: ++this.#startedCount,
      address,
      name,
      content,
      query,
      startedAt: now,
      deadline: now + deadlineMs,
      expires: environment.now() + deadlineMs,
      stream,
      seq: stream === undefined ? 1 : stream.next++,
      from: keyed ?? this.#partner,
      keepMs: keyed === undefined ? 0 : (options.keyLifeMs ?? limits.horizonMs),
      attempts: 0,
      pauses: 0,
      dueAt: 0,
      settle,
      fail,
    };
    if (stream !== undefined) {
      putLast(stream, call);
      stream.deadline = Math.max(stream.deadline, call.deadline);
    }
    this.#calls.set(call.id, call);
    this.#bytes += inputBytes(call);
    this.#budget.called();
    this.#send(call, now);
  }

  #streamTo(address: Address, now: number): Stream {
    let stream = this.#streams.get(address);
    if (stream === undefined) {
      if (this.#streams.size >= streamCountMax) this.#forgetStreams(now);
      stream = {
        session: ++this.#sessionCount,
        next: 1,
        calls: none,
        givenUp: 0,
        usedAt: now,
        deadline: this.#forgottenDeadline,
      };
      this.#streams.set(address, stream);
    }
    stream.usedAt = now;
    return stream;
  }

  /** Drops idle streams. A dropped stream is later reopened with a higher session, and the entity forgets the earlier one (A4). */
  #forgetStreams(now: number): void {
    for (const [address, stream] of this.#streams)
      if (stream.calls.length === 0 && now - stream.usedAt >= 0) {
        this.#forgottenDeadline = Math.max(this.#forgottenDeadline, stream.deadline);
        this.#streams.delete(address);
      }
  }

  #send(call: Call, now: number): void {
    call.attempts += 1;
    this.#pause(call, now);
    this.#parts.post(this.#envelopeOf(call));
  }

  #pause(call: Call, now: number): void {
    this.#dueBy(call, now + this.#budget.pauseMs(call.pauses++));
  }

  #envelopeOf(call: Call): Envelope {
    const { subject, identity } = this.#parts;
    if (call.query !== undefined) {
      return {
        kind: 'query',
        to: call.address,
        replyTo: subject,
        call: call.id,
        identity,
        ...call.query,
        deadline: call.expires,
      };
    }
    const { stream } = call;
    const { environment } = this.#parts;
    return {
      kind: 'message',
      to: call.address,
      from: call.from,
      replyTo: subject,
      call: call.id,
      identity,
      arrival: {
        session: stream?.session ?? 1,
        seq: call.seq,
        floor: stream === undefined ? 1 : this.#floorOf(stream),
        expires: call.expires,
        sent: environment.now(),
        keepMs: this.#keepMsOf(call),
      },
      content: call.content as Content,
      extension: stream === undefined || stream.givenUp === 0 ? undefined : whereIn(stream, call),
    };
  }

  /** How long the entity is to remember the call besides its deadline, whole ms (C6). */
  #keepMsOf({ stream, deadline, keepMs }: Call): number {
    if (stream === undefined || stream.deadline <= deadline) return keepMs;
    const { environment, limits } = this.#parts;
    const leftMs = Math.max(0, Math.ceil(stream.deadline - environment.steady()));
    // The owner that forgets the call and the one that gets the copy may differ in their clocks, as for `expires` (A3).
    return Math.min(leftMs + limits.skewMaxMs, limits.lifeMsMax);
  }

  /** Sends calls again at once: those to entities that have moved, or all calls after a lost connection. */
  again(isMoved: (address: Address) => boolean): void {
    const now = this.#parts.environment.steady();
    for (const call of [...this.#calls.values()]) {
      if (now >= call.deadline || !isMoved(call.address)) continue;
      // Workers may learn of the move later than this client, and calls sent until then are lost: retry soon.
      call.pauses = 0;
      this.#send(call, now);
    }
  }

  #floorOf(stream: Stream): number {
    return stream.calls[0]?.seq ?? stream.next;
  }

  #dueBy(call: Call, at: number): void {
    call.dueAt = Math.min(call.deadline, at);
    if (call.dueAt < this.#alarmAt) this.#arm(call.dueAt);
  }

  /** One alarm for all calls. Nearly all calls are answered before they are due, so an occasional scan of all is cheapest. */
  #arm(dueAt: number): void {
    this.#cancelAlarm?.();
    // With many calls one is always due. A scan for each would leave the client no time for anything else.
    const at = Math.max(dueAt, this.#rangAt + Math.floor(this.#calls.size / looksPerMs));
    this.#alarmAt = at;
    this.#cancelAlarm = this.#parts.environment.after(Math.max(0, at - this.#parts.environment.steady()), () =>
      this.#ring(),
    );
  }

  #ring(): void {
    const now = this.#parts.environment.steady();
    this.#rangAt = now;
    // No alarm is armed during the scan; the next one is set after it.
    this.#alarmAt = Number.NEGATIVE_INFINITY;
    this.#cancelAlarm = undefined;
    for (const call of this.#calls.values()) if (call.dueAt <= now) this.#due(call, now);
    let next = Number.POSITIVE_INFINITY;
    for (const call of this.#calls.values()) next = Math.min(next, call.dueAt);
    this.#alarmAt = Number.POSITIVE_INFINITY;
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }

  /** A call is due: its deadline has passed, or it is time to send it again. */
  #due(call: Call, now: number): void {
    if (now < call.deadline) return this.#budget.mayCopy(now) ? this.#send(call, now) : this.#pause(call, now);
    this.#giveUp(
      call,
      new SkerryError('deadline', `${call.address} did not answer ${call.name} within its deadline`, {
        effect: call.query === undefined ? 'unknown' : 'none',
      }),
    );
  }

  receive(envelope: ReplyEnvelope): void {
    const call = this.#calls.get(envelope.call);
    if (call === undefined) return;
    if (envelope.status === 'answer') return this.#answered(call, envelope.bytes);
    // The partition has moved or is moving. The retry will find it.
    if (envelope.status === 'moved') {
      this.#parts.onMoved?.();
      return this.#dueBy(call, this.#parts.environment.steady() + this.#parts.limits.retryMs / 5);
    }
    if (envelope.status === 'expired') return this.#expired(call, envelope);
    this.#giveUp(call, this.#turnedAway(call, envelope));
  }

  /**
   * The call was late by the worker's clock. Either a copy was slow, or that clock is ahead of this one and no retry can help (C5). A
   * clock that seems to be behind makes no call late: its reply was slow, and another copy may be waiting for its answer.
   */
  #expired(call: Call, { bytes }: ReplyEnvelope): void {
    const theirs = Number(new TextDecoder().decode(bytes.subarray(0, reasonBytesMax)));
    const aheadMs = Number.isFinite(theirs) ? this.#clocks.apart(theirs) : 0;
    if (aheadMs === 0) return;
    this.#clocks.heard(`a worker (of ${call.address})`, theirs);
    if (aheadMs < 0) return;
    this.#giveUp(
      call,
      new SkerryError(
        'deadline',
        `${call.address} refused ${call.name} as too late: its worker's clock is ${(aheadMs / 1_000).toFixed(1)} s ahead of this one; set both by the same time servers`,
        { effect: call.attempts === 1 ? 'none' : 'unknown' },
      ),
    );
  }

  #turnedAway(call: Call, { status, bytes }: ReplyEnvelope): SkerryError {
    // An earlier copy may still be processed. Only a call that was sent once certainly was not (C2).
    const effect = call.attempts === 1 || call.query !== undefined ? 'none' : 'unknown';
    if (status === 'not-loaded') return notRun(call.address, 'could not be made', { bytes, effect });
    if (status === 'not-run') return notRun(call.address, call.name, { bytes, effect });
    const reason = new TextDecoder().decode(bytes.subarray(0, reasonBytesMax));
    // The turn ran and is durable.
    if (status === 'unsent')
      return new SkerryError('too-large', `The answer of ${call.address} ${call.name} could not be sent: ${reason}`, {
        effect: call.query === undefined ? 'unknown' : 'none',
      });
    const code: ErrorCode = status === 'answer' || status === 'moved' || status === 'expired' ? 'failed' : status;
    const texts: Partial<Record<ErrorCode, string>> = {
      overloaded: `${call.address} or its worker has a queue that is full, or too long for the deadline`,
      'store-failed': aboutIt(call.address, call.name, reason === '' ? 'the store failed' : reason),
      'unknown-type': `No behaviour is registered for the type '${reason}'`,
      denied: reason === '' ? `The call of ${call.address} was denied` : reason,
    };
    return new SkerryError(code, texts[code] ?? errorCodes[code], { effect });
  }

  #answered(call: Call, bytes: Uint8Array): void {
    if (call.id % samplePeriod === 0) this.#budget.answered(this.#parts.environment.steady() - call.startedAt);
    const { stream } = call;
    this.#forget(call);
    // The entity processes calls in order.
    if (stream !== undefined && stream.givenUp < call.seq) stream.givenUp = 0;
    try {
      call.settle(readRow(decode(bytes)));
    } catch (error) {
      call.fail(
        isSkerryError(error)
          ? error
          : new SkerryError('failed', `${call.address} sent an answer that cannot be read`, {
              effect: 'unknown',
              cause: error,
            }),
      );
    }
  }

  #giveUp(call: Call, error: SkerryError): void {
    const { stream } = call;
    const next = stream?.calls[stream.calls.indexOf(call) + 1];
    this.#forget(call);
    if (stream !== undefined) stream.givenUp = stream.calls.length === 0 ? 0 : Math.max(stream.givenUp, call.seq);
    call.fail(error);
    this.#again(next);
  }

  /**
   * A number before this one was given up. The entity may have buffered the messages behind it (C3). Of a burst that is turned away each
   * gets its own reply first: it would be sent in vain, and its effect no longer be known (C2).
   */
  #again(call: Call | undefined): void {
    if (call === undefined) return;
    this.#behind.add(call);
    if (this.#behind.size > 1) return;
    this.#parts.environment.soon(() => {
      const now = this.#parts.environment.steady();
      const calls = [...this.#behind];
      this.#behind.clear();
      for (const one of calls) if (now < one.deadline && this.#calls.has(one.id)) this.#send(one, now);
    });
  }

  #forget(call: Call): void {
    if (this.#calls.delete(call.id)) this.#bytes -= inputBytes(call);
    if (call.stream === undefined) return;
    takeOut(call.stream, call);
  }

  /**
   * The connection was lost `lostMs` ago and servers reject the login. Calls started since then have reached nobody (C2).
   * `isHere`: entities of this process need no connection. This process may have run any entity in between.
   */
  refused(reason: string, lostMs: number, isHere?: (address: Address) => boolean): void {
    const lostAt = this.#parts.environment.steady() - lostMs;
    const isWithoutEffect = ({ query, startedAt }: Call) =>
      query !== undefined || (isHere === undefined && startedAt > lostAt);
    const isCutOff = ({ address }: Call) => isHere?.(address) !== true;
    this.#failAll('transport-failed', reason, isWithoutEffect, isCutOff);
  }

  /** Rejects the calls in flight with `closed`. Their operations may still take effect. */
  close(): void {
    this.#isClosed = true;
    this.#cancelAlarm?.();
    this.#failAll('closed', 'The cluster handle was closed before the answer came', ({ query }) => query !== undefined);
  }

  #failAll(
    code: ErrorCode,
    message: string,
    isWithoutEffect: (call: Call) => boolean,
    isMeant: (call: Call) => boolean = () => true,
  ): void {
    for (const call of [...this.#calls.values()].filter(isMeant)) {
      this.#forget(call);
      call.fail(new SkerryError(code, message, { effect: isWithoutEffect(call) ? 'none' : 'unknown' }));
    }
  }
}

/** What a call is behind, if the floor does not tell that numbers before it are given up (C3). */
function whereIn({ calls, givenUp }: Stream, call: Call): Extension | undefined {
  const before = calls[calls.lastIndexOf(call) - 1]?.seq;
  return before === undefined || before === call.seq - 1 || givenUp < before ? undefined : behind(before);
}

/** Most bytes of a reason that are shown. It is untrusted: anyone with the permission to publish may have sent it. */
const reasonBytesMax = 2_000;

/** The error of a call that was not run, with the worker's reason. */
function notRun(
  address: Address,
  what: string,
  { bytes, effect }: { readonly bytes: Uint8Array; readonly effect: CallEffect },
): SkerryError {
  try {
    const [, code, text] = readRow(decode(bytes));
    return new SkerryError(codeOf(code), aboutIt(address, what, textOf(text)), { effect });
  } catch (cause) {
    return new SkerryError('failed', `${address} ${what}: the reason cannot be read`, { effect, cause });
  }
}

function inputBytes({ content, query }: Call): number {
  return content?.payload.length ?? query?.payload.length ?? 0;
}

/** Checks the options of a call. Returns the partner name of its idempotency key, if it has one. Throws `invalid-input`. */
function checkedKey(options: CallOptions, { limits, identity }: ClientParts): PartnerId | undefined {
  // A deadline of NaN would never pass. Neither NaN nor Infinity can be sent, and the receiver rejects too long a time (A7).
  for (const name of ['deadlineMs', 'keyLifeMs'] as const) {
    const ms: unknown = options[name] ?? 0;
    if (typeof ms === 'number' && ms >= 0 && ms <= limits.lifeMsMax) continue;
    const found = typeof ms === 'number' ? String(ms) : `a value of the type ${typeof ms}`;
    throw new SkerryError(
      'invalid-input',
      `${name} must be a finite number of milliseconds from 0 to lifeMsMax (${limits.lifeMsMax}), not ${found}`,
    );
  }
  const key = options.idempotencyKey;
  if (key === undefined) return undefined;
  const partner = keyPartner(identity, key);
  if (typeof key === 'string' && key.length > 0 && isPartner(partner)) return partner;
  const bytesMax = limits.keyBytesMax - keyPartner(identity, '').length;
  throw new SkerryError('invalid-input', `An idempotency key must be well-formed Unicode of 1 to ${bytesMax} bytes`);
}
