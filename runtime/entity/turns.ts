/**
 * Turns: runs the items of a mailbox. Judges arrivals, runs turns, and puts their output into the batch that waits for the store.
 *
 *     item ─▶ activity in memory? ─no─▶ read it, then again
 *                 │
 *               judge ─ next ──▶ run ─▶ batch ─▶ commit queue      (worker/group-commit.ts, worker/release.ts)
 *                     ├ duplicate ─▶ the same answer, behind everything that is not durable yet; of what is put off none
 *                     ├ ahead ─────▶ buffered until the messages before it arrive
 *                     └ stale, expired ─▶ reported or dropped; never processed
 *
 * Longer than 400 lines because every way of an arrival through the verdict is here.
 *
 * Invariants:
 * - N1 The output of a turn goes into its batch, never out. Output that needs no commit leaves only when nothing is pending (P2).
 * - N3 The buffer of messages that arrived out of order is bounded. A message that does not fit is dropped and sent again (P12).
 * - N4 A call under an idempotency key gets only the answer to its own request. Another request, or one that cannot be run, is turned
 *   away without effect, and nothing is remembered of it.
 */
import { excess, isReached, judge, keepsTooMuch, keptAnswer, known } from '../../core/activity.ts';
import { isEntityPartner, type PartnerId } from '../../core/message.ts';
import { dateOf, isUnread } from '../../core/record.ts';
import type { Request } from '../../core/request.ts';
import type { AnsweredCall } from '../../core/scope.ts';
import { failedRow, type TurnResult } from '../../core/turn.ts';
import { dateOfTurn, dueTurns, receiverOf, turnKey } from '../../core/turn-parts.ts';
import { acknowledged } from '../../core/word.ts';
import { Clocks } from '../clocks.ts';
import { encode } from '../wire/codec.ts';
import type {
  Asked,
  Envelope,
  MessageEnvelope,
  QueryEnvelope,
  ReplyEnvelope,
  StreamEnvelope,
} from '../wire/envelope.ts';
import { behindIn } from '../wire/extension.ts';
import type { Activation } from './activation.ts';
import { type AttemptParts, Attempts } from './attempts.ts';
import type { Batch, Unproven } from './batch.ts';
import { trialKey } from './crash-notes.ts';
import type { Delivery } from './delivery.ts';
import { isRequest, otherRequest } from './fingerprint.ts';
import { recall } from './idle.ts';
import { type Item, sizeOf } from './mailbox.ts';
import type { StreamClosing } from './stream-closing.ts';
import type { WaitingCalls } from './waiting.ts';

const noBytes: Uint8Array = new Uint8Array(0);

type Committed = Extract<TurnResult, { kind: 'committed' }>;

/** A store that is faster than this does not make a call late, ms. */
const lateMsMin = 50;

export interface TurnParts extends AttemptParts {
  readonly delivery: Delivery;
  readonly closing: StreamClosing;
  readonly waiting: WaitingCalls;
  readonly post: (envelope: Envelope) => void;
  readonly commits: {
    /** The activation's batch waits for the store (or, for volatile types, may leave at once). */
    commit(activation: Activation): void;
    /** Estimated wait for the store of a turn that runs now, ms. */
    readonly waitMs: number;
  };
  readonly dispatcher: {
    /** Whether there is room to buffer one more message that arrived out of order (N3). */
    mayBuffer(activation: Activation): boolean;
    /** A call was late when its turn came. */
    readonly admission: { late(call: MessageEnvelope): void };
  };
  /** Sends an envelope after a proof of ownership (P9). */
  readonly proofs: { prove(activation: Activation, unproven: Unproven): void };
  /** Called when due items have run, for the rest of the entity's own work. */
  readonly housekeeping: { afterWake(activation: Activation): void };
}

/** The request of a due date. */
const wake: Item = { kind: 'wake' };
const delayed: Item = { kind: 'wake', isDelayed: true };

export class Turns {
  readonly #parts: TurnParts;
  readonly #attempts: Attempts;
  readonly #clocks: Clocks;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#clocks = new Clocks(parts);
    this.#attempts = new Attempts(parts);
  }

  run(activation: Activation, item: Item): void {
    switch (item.kind) {
      case 'message':
        recall(activation);
        return this.#message(activation, item);
      case 'query':
        return this.#query(activation, item);
      case 'effect':
        return this.#own(activation, turnKey('effects', item.id), item, {
          kind: 'effect',
          id: item.id,
          outcome: item.outcome,
        });
      case 'wake':
        return this.#woken(activation, item);
      default:
        recall(activation);
        return this.#stream(activation, item);
    }
  }

  #isUnread(activation: Activation, partner: PartnerId, item: Item): boolean {
    if (!isUnread(activation.entity, partner)) return false;
    activation.putBack(item, partner);
    this.#parts.readActivity(activation, partner);
    return true;
  }

  // ---- messages

  #message(activation: Activation, envelope: MessageEnvelope): void {
    const { from, arrival } = envelope;
    if (this.#isUnread(activation, from, envelope)) return;
    const activity = activation.entity.activities.get(from);
    const now = this.#parts.environment.now();
    const inbound = activity && known(activity, now, this.#parts.limits);
    const isAgain = activation.retries?.get(from)?.item === envelope;
    // It arrived in time; from here on only its expiry counts.
    const judged = isAgain ? { ...arrival, sent: arrival.expires } : arrival;
    if (arrival.sent > now + this.#parts.limits.skewMaxMs) this.#clocks.heard(senderOf(envelope), arrival.sent);
    const verdict = judge(inbound, judged, now, this.#parts.limits);
    // A retry that is no longer wanted has no date any more either.
    if (verdict !== 'next' && isAgain) activation.retries?.delete(from);
    switch (verdict) {
      case 'next':
        return this.#next(activation, envelope);
      case 'duplicate':
        return this.#duplicate(activation, envelope);
      case 'ahead':
        if (!isEntityPartner(from) && isReached(inbound, arrival, behindIn(envelope.extension)))
          return this.#next(activation, envelope);
        return this.#buffer(activation, envelope);
      case 'stale':
        if (isEntityPartner(from)) this.#stale(activation, envelope, arrival.session, inbound?.session ?? 0);
        return;
      case 'expired':
        if (envelope.replyTo === '' || isAgain) return;
        this.#parts.dispatcher.admission.late(envelope);
        this.#clocks.heard(senderOf(envelope), arrival.sent);
        return this.#emit(activation, lateReply(envelope, now), envelope);
      case 'excessive':
        return this.#refuseExcess(activation, envelope);
    }
  }

  /** Tells the caller. The sender of an entity's message learns of it when the message expires there (A7). */
  #refuseExcess(activation: Activation, envelope: MessageEnvelope): void {
    const { environment, limits } = this.#parts;
    const error = excess(envelope.arrival, environment.now(), limits);
    const details = { entity: activation.address, from: envelope.from, error: error.message };
    if (envelope.replyTo === '') environment.log.warn(details, 'a message was refused');
    else this.#reply(activation, envelope, 'not-run', encode(failedRow(error)));
  }

  #next(activation: Activation, envelope: MessageEnvelope): void {
    const { from, arrival, content } = envelope;
    const retry = activation.retries?.get(from);
    // Another copy of a message that threw. Its own retry is scheduled already (N2).
    if (retry !== undefined && retry.at > this.#parts.environment.now()) return;
    if (this.#isFull(activation, envelope) || this.#isTooLate(activation, envelope)) return;
    const request: Request = { kind: 'message', partner: from, arrival, content };
    const isDone = this.#attempt(activation, from, envelope, request);
    if (isDone) this.#runAhead(activation, from);
  }

  /** Tells a client that never lets its floor pass its answers, before its answers outgrow the store (P12). */
  #isFull(activation: Activation, envelope: MessageEnvelope): boolean {
    if (envelope.replyTo === '') return false;
    const inbound = activation.entity.activities.get(envelope.from)?.inbound;
    const bytesMax = this.#parts.limits.keptAnswerBytesMax;
    const { floor } = envelope.arrival;
    if (!keepsTooMuch(inbound, { floor, now: this.#parts.environment.now(), bytesMax })) return false;
    this.#reply(activation, envelope, 'overloaded');
    return true;
  }

  /** A turn that would be durable only after its caller has given up is not run. The store commits no more for it (W8). */
  #isTooLate(activation: Activation, envelope: MessageEnvelope): boolean {
    if (envelope.replyTo === '' || activation.behaviour.durability !== 'turn') return false;
    // Twice, because the wait varies: calls served at the last moment are usually served too late.
    const waitMs = 2 * this.#parts.commits.waitMs;
    if (waitMs < lateMsMin || this.#parts.environment.now() + waitMs < envelope.arrival.expires) return false;
    this.#parts.dispatcher.admission.late(envelope);
    this.#reply(activation, envelope, 'overloaded');
    return true;
  }

  #reply(activation: Activation, call: MessageEnvelope, status: ReplyEnvelope['status'], bytes = noBytes): void {
    this.#emit(activation, replyOf(call, status, bytes), call);
  }

  /** Runs a turn. Returns false if it is to be tried again. */
  #attempt(activation: Activation, key: string, item: Item, request: Request): boolean {
    const result = this.#attempts.run(activation, { key, item, request });
    if (result?.kind === 'committed') this.#collect(activation, item, result);
    else if (result?.kind === 'turned-away' && item.kind === 'message')
      this.#reply(activation, item, result.status, result.bytes);
    if (result !== undefined || activation.phase === 'ready') this.#ran(activation, item, key);
    return result !== undefined && result.kind !== 'turned-away';
  }

  /** The turn returned, however it ended: its crash note is done. */
  #ran(activation: Activation, item: Item, key: string): void {
    if (activation.isCautious) this.#parts.crashNotes.ran(activation, trialKey(item, key));
  }

  /** Puts the output of a turn into the batch (N1). */
  #collect(activation: Activation, item: Item, result: Committed): void {
    const batch = activation.batch();
    if (item.kind === 'wake' && item.isDelayed === true) batch.isHeld = true;
    if (item.kind === 'message') this.#answer(activation, batch, item, result);
    if (result.answered !== undefined) this.#answerEarlier(activation, batch, result.answered);
    if (result.withdrawn !== undefined) this.#parts.delivery.withdrew(activation, result.withdrawn);
    for (const activity of result.sentTo) batch.addSent(activity);
    if (result.effects.length > 0) batch.effects = [...(batch.effects ?? []), ...result.effects];
    this.#parts.commits.commit(activation);
  }

  #answer(activation: Activation, batch: Batch, envelope: MessageEnvelope, { answer, putOff }: Committed): void {
    batch.addRequest(envelope);
    const isCall = envelope.replyTo !== '';
    if (isCall && putOff !== undefined) return this.#parts.waiting.putOff(activation, putOff, envelope);
    batch.addAnswer(isCall ? replyOf(envelope, 'answer', answer) : ackOf(activation, envelope), envelope);
  }

  /** Answers to calls that earlier turns put off, for those callers that are known here (WT1). */
  #answerEarlier(activation: Activation, batch: Batch, answered: readonly AnsweredCall[]): void {
    for (const { later, bytes } of answered)
      for (const caller of this.#parts.waiting.callersOf(activation, later))
        batch.addEnvelope(replyOf(caller, 'answer', bytes));
  }

  /**
   * A message processed before gets the same answer (P5), or the acknowledgement again. The answer is from memory, so it needs proof
   * that the store still has it (P8, O2): its sender will forget what it is told.
   */
  #duplicate(activation: Activation, envelope: MessageEnvelope): void {
    // The answer to its original is on its way to the store, and goes where this copy's would.
    if (activation.gathering?.hasRequest(envelope) === true || activation.flying?.hasRequest(envelope) === true) return;
    if (envelope.replyTo === '') return this.#emitProven(activation, ackOf(activation, envelope), envelope);
    const kept = keptAnswer(activation.entity.activities.get(envelope.from)?.inbound, envelope.arrival.seq);
    if (kept === undefined) return this.#waits(activation, envelope);
    const isOther = kept.request !== undefined && !isRequest(kept.request, envelope.content);
    const bytes = isOther ? encode(failedRow(otherRequest(envelope))) : kept.bytes;
    this.#emitProven(activation, replyOf(envelope, isOther ? 'not-run' : 'answer', bytes), envelope);
  }

  /** A copy of a call that was put off waits too, for its own request (N4); else it is one that nobody asks for any more. */
  #waits(activation: Activation, envelope: MessageEnvelope): void {
    if (activation.entity.later.size === 0) return;
    const { environment, waiting } = this.#parts;
    const now = environment.now();
    const open = waiting.openOf(activation, envelope, now);
    if (open === undefined) return;
    if (open.request.length > 0 && !isRequest(open.request, envelope.content)) {
      const bytes = encode(failedRow(otherRequest(envelope)));
      return this.#emitProven(activation, replyOf(envelope, 'not-run', bytes), envelope);
    }
    if (!waiting.await(activation, open, envelope, now)) this.#reply(activation, envelope, 'overloaded');
  }

  /** It belongs to an earlier session than the known one. If that is its sender's live session, history was lost (P8). */
  #stale(activation: Activation, asked: MessageEnvelope | StreamEnvelope, session: number, number: number): void {
    this.#emitProven(activation, { kind: 'stale', to: asked.from, from: activation.address, session, number }, asked);
  }

  #buffer(activation: Activation, envelope: MessageEnvelope): void {
    const ahead = activation.makeAhead();
    const hasRoom =
      ahead.countOf(envelope.from) < this.#parts.limits.aheadCountMax && this.#parts.dispatcher.mayBuffer(activation);
    // A buffered message keeps its place; this copy may carry a later floor. A true copy has the same size. A larger one with the same
    // number would take room that does not exist.
    const held = ahead.get(envelope);
    if (hasRoom || (held !== undefined && sizeOf(envelope) <= sizeOf(held))) ahead.put(envelope);
  }

  /** A buffered message that may be next returns to the mailbox, to be judged again. */
  #runAhead(activation: Activation, from: PartnerId): void {
    if (activation.ahead === undefined) return;
    const next = activation.ahead.takeNext(from, activation.entity.activities.get(from)?.inbound?.through ?? 0);
    if (next !== undefined) activation.mailbox.unshift(next);
  }

  /** Sends an envelope when everything before it is durable (N1). */
  #emit(activation: Activation, envelope: Envelope, asked: Asked): void {
    const pending = activation.gathering ?? activation.flying;
    if (pending === undefined) this.#parts.post(envelope);
    else pending.addAnswer(envelope, asked);
  }

  // ---- queries

  #query(activation: Activation, query: QueryEnvelope): void {
    // Its caller no longer waits. A late query must not make others late too.
    const now = this.#parts.environment.now();
    if (now > query.deadline) return this.#emit(activation, lateReply(query, now), query);
    const bytes = this.#attempts.query(activation, query);
    if (bytes === undefined) return;
    this.#ran(activation, query, '');
    const reply: Envelope = { kind: 'reply', to: query.replyTo, call: query.call, status: 'answer', bytes };
    if (activation.behaviour.reads === 'local') this.#emit(activation, reply, query);
    else this.#emitProven(activation, reply, query);
    (activation.gathering ?? activation.flying)?.addRequest(query);
  }

  /** Sends an answer when everything before it is durable, and this worker is proven to be the owner after now (O2). */
  #emitProven(activation: Activation, envelope: Envelope, asked: Asked): void {
    if (activation.behaviour.durability === 'none') return this.#emit(activation, envelope, asked);
    const { gathering, flying } = activation;
    const pending = gathering ?? flying;
    // A commit that starts from now on proves it too, unless it may leave before that. The one in flight may have been accepted before.
    if (gathering !== undefined && activation.behaviour.durability === 'turn') gathering.addAnswer(envelope, asked);
    else if (pending !== undefined) pending.addUnproven({ envelope, asked });
    else this.#parts.proofs.prove(activation, { envelope, asked });
  }

  // ---- the other ends of streams

  #stream(activation: Activation, envelope: StreamEnvelope): void {
    if (this.#isUnread(activation, envelope.from, envelope)) return;
    const { delivery, closing } = this.#parts;
    switch (envelope.kind) {
      case 'ack':
        return delivery.acknowledged(activation, envelope);
      case 'closed':
        return closing.closed(activation, envelope);
      case 'stale':
        return delivery.stale(activation, envelope);
      case 'probed':
        return delivery.probed(activation, envelope);
      case 'room':
        return delivery.invited(activation, envelope);
      case 'probe':
        return this.#probe(activation, envelope);
      case 'close':
        return closing.close(activation, envelope);
    }
  }

  #probe(activation: Activation, probe: StreamEnvelope): void {
    const { from, session, number } = probe;
    const activity = activation.entity.activities.get(from);
    const inbound = activity?.inbound;
    // Everything in it was settled before the later session was sent, but how is not remembered here.
    if (inbound !== undefined && inbound.session > session)
      return this.#stale(activation, probe, session, inbound.session);
    const isProcessed = inbound !== undefined && inbound.session === session && inbound.through >= number;
    const through = isProcessed ? (acknowledged(activity) ?? inbound.through) : 0;
    // The hub of an agreement is not told yet: it asks again, and has the news by then (AG7).
    if (isProcessed && through < number) return;
    const probed: StreamEnvelope = {
      kind: 'probed',
      to: from,
      from: activation.address,
      session,
      number: isProcessed ? through : -number,
    };
    this.#emitProven(activation, probed, probe);
  }

  // ---- the entity's own work

  #woken(activation: Activation, item: Item): void {
    this.#wake(activation);
    if (this.#isInPhase(activation)) this.#parts.housekeeping.afterWake(activation);
    // A turn needed an activity from the store. The rest of its work is done after the read.
    else if (activation.phase === 'reading') activation.mailbox.push(item);
  }

  /** Runs everything that is due: retries, timers, holds. */
  #wake(activation: Activation): void {
    if (activation.isCautious) this.#parts.crashNotes.prune(activation);
    const now = this.#parts.environment.now();
    for (const retry of [...(activation.retries?.values() ?? [])])
      if (retry.at <= now && retry.item.kind !== 'wake' && this.#isInPhase(activation))
        this.run(activation, retry.item);
    const { entity } = activation;
    for (const { request } of dueTurns(entity, now)) {
      // An earlier turn may have replaced it: the new one may not be due.
      const isDue = (dateOf(entity, request.part, request.id) ?? Infinity) <= now;
      if (!isDue || !this.#isInPhase(activation)) continue;
      const item = receiverOf(entity, request) === '' ? wake : delayed;
      this.#own(activation, turnKey(request.part, request.id), item, request);
    }
    this.#dropRetries(activation, now);
  }

  /** A request that threw, and was cancelled, replaced or resolved since, needs no retry. */
  #dropRetries({ retries, entity }: Activation, now: number): void {
    for (const [key, { at, item }] of retries ?? []) {
      if (item.kind !== 'wake' || at > now) continue;
      const due = dateOfTurn(entity, key);
      if (due === undefined || due > now) retries?.delete(key);
    }
  }

  /** A turn may need an activity from the store. The rest waits for the next wake. */
  #isInPhase(activation: Activation): boolean {
    return activation.phase === 'ready';
  }

  /** A turn that the entity itself requests. */
  #own(activation: Activation, key: string, item: Item, request: Request): void {
    const retry = activation.retries?.get(key);
    if (retry !== undefined && retry.at > this.#parts.environment.now()) return;
    this.#attempt(activation, key, item, request);
  }
}

function replyOf(
  { replyTo, call }: Pick<MessageEnvelope, 'replyTo' | 'call'>,
  status: ReplyEnvelope['status'],
  bytes: Uint8Array,
): ReplyEnvelope {
  return { kind: 'reply', to: replyTo, call, status, bytes };
}

/** The reply to a client whose clock is behind by more than its deadline. Otherwise it would never know why (C5). */
function lateReply({ replyTo, call }: MessageEnvelope | QueryEnvelope, now: number): Envelope {
  return { kind: 'reply', to: replyTo, call, status: 'expired', bytes: new TextEncoder().encode(String(now)) };
}

/** For people to read. */
function senderOf({ from, replyTo, identity }: MessageEnvelope): string {
  return replyTo === '' ? `the worker of ${from}` : `client ${identity || from}`;
}

function ackOf(activation: Activation, { from, arrival }: MessageEnvelope): StreamEnvelope {
  const through = acknowledged(activation.entity.activities.get(from)) ?? arrival.seq;
  return { kind: 'ack', to: from, from: activation.address, session: arrival.session, number: through };
}
