/**
 * Delivery: sends the messages in outboxes, and again until they are acknowledged.
 *
 * Owns transmission: windows, back-off, probes. `core/activity.ts` owns the outbox and the effect of acknowledgements;
 * `stream-closing.ts` ends quiet streams.
 *
 * Longer than 400 lines because the window, pauses and doubts of a flight are one state.
 *
 * Invariants:
 * - Q1 Only durable messages are sent: numbers up to `durable` of their flight (P2).
 * - Q2 Every message in a durable outbox is sent until it is acknowledged or becomes a dead letter (P7).
 * - Q3 The floor passes an expired message only when its dead letter is durable, and after its receiver has said that it did not
 *   process it, or can no longer say so, or an operator has dropped it. Otherwise a new owner would have neither (P7).
 */
import type { Activity, Outbound, OutboxMessage } from '../../core/activity.ts';
import { acknowledge, floorOf, frontEndOf, frontOf, isBeyond, overtaken } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import type { Address, PartnerId } from '../../core/message.ts';
import { buryUnsent, leaveOutbox, type Withdrawal } from '../../core/outbox.ts';
import { notePart, recordName } from '../../core/record.ts';
import { heard } from '../../core/word.ts';
import type { Environment } from '../environment.ts';
import type { Counter, Counters } from '../meter.ts';
import type { Partition } from '../store.ts';
import type { Envelope, MessageEnvelope, StreamEnvelope } from '../wire/envelope.ts';
import type { Activation } from './activation.ts';
import { type Batch, type Buried, type Flight, type Sent, sentOf } from './batch.ts';
import type { Ownership } from './ownership.ts';

const inDoubt = 'it expired, in doubt: its receiver cannot tell whether it processed the message';

/** Evidence that history was lost: a partner remembers more of an entity than its store does (P8). */
export interface Sign {
  readonly entity: Address;
  readonly partition: Partition;
  readonly partner: PartnerId;
}

/** Most messages of a stream that are sent again at once. Each acknowledgement doubles it. */
const againCount = 16;
/** A receiver without room is retried as after this many pauses, because it will send `room`. */
const fullAttempts = 4;

/** An outbox as it was read. */
type Stored = readonly [Activity, Sent];

export interface DeliveryParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly ownership: Ownership;
  readonly post: (envelope: Envelope) => void;
  /** The activation wants to be woken by then. */
  readonly wakeBy: (activation: Activation, at: number) => void;
  readonly noticed: (sign: Sign) => void;
  /** The record changed without a turn: commit it. */
  readonly commit: (activation: Activation) => void;
  readonly counters: Counters;
}

export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #settled: Counter;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
    this.#settled = parts.counters.of('agreements-settled');
  }

  /** A batch may leave, with the streams and dead letters that it makes durable. */
  released(activation: Activation, { buried, sent }: Batch): void {
    if (buried !== undefined) for (const one of buried) this.buried(activation, one);
    if (sent !== undefined) for (const [activity, stream] of sent) this.durable(activation, activity, stream);
  }

  /** A stream is durable: sends what has not been sent. A later turn may have opened another stream, which is not durable. */
  durable(activation: Activation, activity: Activity, { stream, through, isClosing }: Sent): void {
    const { outbound } = activity;
    if (outbound === undefined || outbound !== stream) return;
    const flight = this.#flightOf(activation, activity.partner, outbound);
    flight.durable = Math.max(flight.durable, through);
    flight.isClosing ||= isClosing;
    this.#transmit(activation, activity, flight);
  }

  /** A turn has removed a message from an outbox. */
  withdrew(activation: Activation, { activity, outbound, message }: Withdrawal): void {
    this.#holdFloor(activation, activity, outbound, message.seq);
  }

  /** A message has become a dead letter, which is not durable yet (Q3). */
  #holdFloor(activation: Activation, activity: Activity, outbound: Outbound, seq: number): void {
    const flight = this.#flightOf(activation, activity.partner, outbound);
    flight.buried.push(seq);
    activation.batch().addBuried({ activity, flight, seq });
  }

  /** The dead letter is durable: the floor may pass its message (Q3). */
  buried(activation: Activation, { activity, flight, seq }: Buried): void {
    flight.buried = flight.buried.filter((one) => one !== seq);
    const { outbound } = activity;
    if (outbound === undefined || outbound !== flight.stream || floorOf(outbound) < seq) return;
    this.#tellFloor(activation, activity.partner, outbound, flight);
  }

  /**
   * The floor has moved to the first message, which was sent before. Another copy of it carries the new floor, and releases the
   * messages buffered behind it. Sending all of them again for each dead letter would cost a window per message.
   */
  #tellFloor(activation: Activation, partner: PartnerId, outbound: Outbound, flight: Flight): void {
    const [first] = outbound.unacked;
    if (first === undefined || first.seq > flight.transmitted || toldFloor(outbound, flight) < first.seq) return;
    this.#send(activation, partner, outbound, first, this.#parts.environment.now());
  }

  /** After activation everything in the outbox is durable, and nobody knows which messages were sent. */
  resume(activation: Activation): void {
    const stored: Stored[] = [];
    for (const activity of activation.entity.activities.values()) {
      const { outbound } = activity;
      const isOpen = outbound !== undefined && (outbound.unacked.length > 0 || outbound.isClosing);
      if (isOpen) stored.push([activity, sentOf(outbound)]);
    }
    if (stored.length === 0) return;
    activation.makeFlights();
    this.#resumeStored(activation, stored);
  }

  /**
   * An entity is read in several steps. If another owner commits in between, outbox and numbers do not match. So they may be
   * sent only by a worker that is still the owner after the last step (E3).
   */
  #resumeStored(activation: Activation, stored: readonly Stored[]): void {
    const { ownership, environment, limits } = this.#parts;
    const whenStill = (run: () => void) => () => (activation.phase === 'dropped' ? undefined : run());
    const send = () => {
      for (const [activity, sent] of stored) this.durable(activation, activity, sent);
    };
    const again = () =>
      void environment.after(
        limits.retryMs,
        whenStill(() => this.#resumeStored(activation, stored)),
      );
    ownership.check(activation.partition, whenStill(send), whenStill(again));
  }

  #flightOf(activation: Activation, partner: PartnerId, outbound: Outbound): Flight {
    const flights = activation.makeFlights();
    let flight = flights.get(partner);
    if (flight === undefined || flight.stream !== outbound) {
      flight = newFlight(outbound, this.#parts.limits);
      flights.set(partner, flight);
    }
    return flight;
  }

  #transmit(activation: Activation, activity: Activity, flight: Flight): void {
    const { outbound } = activity;
    if (outbound === undefined) return;
    const now = this.#parts.environment.now();
    const last = Math.min(flight.durable, floorOf(outbound) + flight.window - 1, frontEndOf(outbound) - 1);
    for (const message of outbound.unacked) {
      if (message.seq > last) break;
      if (message.seq <= flight.transmitted) continue;
      this.#send(activation, activity.partner, outbound, message, now);
      flight.transmitted = message.seq;
    }
    if (flight.isClosing && outbound.unacked.length === 0)
      this.#stream('close', activation, activity.partner, outbound.session, 0);
    if (flight.retryAt === 0) this.#planRetry(activation, flight, now);
  }

  #planRetry(activation: Activation, flight: Flight, now: number): void {
    const { environment, limits } = this.#parts;
    // A partner that is told of a close answers with its next commit, after `2 * trimIdleMs` at the latest.
    const first = flight.isClosing ? Math.max(limits.retryMs, 4 * limits.trimIdleMs) : limits.retryMs;
    const pause = Math.min(first * 2 ** flight.attempts, limits.retryMsMax);
    // Jitter, so that senders that failed together do not retry together.
    flight.retryAt = now + Math.ceil(pause * (0.75 + environment.random() / 2));
    this.#parts.wakeBy(activation, flight.retryAt);
  }

  #send(activation: Activation, partner: PartnerId, outbound: Outbound, message: OutboxMessage, now: number): void {
    const { limits } = this.#parts;
    if (now > message.expires) {
      // The receiver rejects every copy from here on. When that is true by its clock too, ask what became of the message (Q3).
      if (now > message.expires + limits.skewMaxMs && message.seq === floorOf(outbound))
        this.#stream('probe', activation, partner, frontOf(outbound), message.seq);
      return;
    }
    this.#parts.post({
      kind: 'message',
      to: partner,
      from: activation.address,
      replyTo: '',
      call: 0,
      identity: '',
      arrival: {
        session: frontOf(outbound),
        seq: message.seq,
        floor: toldFloor(outbound, activation.flights?.get(partner)),
        expires: message.expires,
        sent: this.#parts.ownership.provenAt(activation.partition),
        keepMs: 0,
      },
      content: message.content,
    });
  }

  #stream(kind: StreamEnvelope['kind'], activation: Activation, to: PartnerId, session: number, number: number): void {
    this.#parts.post({ kind, to, from: activation.address, session, number });
  }

  /** Sends again what is due, when the activation wakes. Returns when it next wants to be woken, ms, or Infinity. */
  retry(activation: Activation, now: number): number {
    let next = Number.POSITIVE_INFINITY;
    const due: [PartnerId, Flight][] = [];
    for (const [partner, flight] of activation.flights ?? []) {
      if (flight.retryAt > 0 && flight.retryAt <= now) due.push([partner, flight]);
      else if (flight.retryAt > 0) next = Math.min(next, flight.retryAt);
    }
    if (due.length === 0) return next;
    const { ownership, limits } = this.#parts;
    const again = () => {
      if (activation.phase !== 'dropped')
        for (const [partner, flight] of due) this.#retransmit(activation, partner, flight);
    };
    for (const [, flight] of due) flight.retryAt = 0;
    // A copy is only as fresh as the last proof of ownership, so the proof is renewed before copies get too old to be accepted.
    if (now - ownership.provenAt(activation.partition) < limits.transitMaxMs / 8) again();
    else ownership.check(activation.partition, again, () => this.#planAgain(activation, due));
    return next;
  }

  /** Partners have moved, and may not have got what was sent to their old place: sends it again soon. */
  hasten(activation: Activation, isMoved: (partner: PartnerId) => boolean): void {
    const now = this.#parts.environment.now();
    for (const [partner, flight] of activation.flights ?? []) {
      if (flight.retryAt <= now || !isMoved(partner)) continue;
      flight.retryAt = now;
      flight.attempts = 0;
      this.#parts.wakeBy(activation, now);
    }
  }

  /** The partner has room again for this many messages, which are sent at once; 0: none, and it will send `room` (CR1). */
  invited(activation: Activation, { from, number }: StreamEnvelope): void {
    const flight = activation.flights?.get(from);
    if (flight === undefined || flight.retryAt === 0) return;
    const { limits } = this.#parts;
    const now = this.#parts.environment.now();
    flight.window = Math.max(1, Math.min(number, limits.windowCountMax));
    // The notice may be lost, so the message is also retried, only later than usual.
    flight.attempts = number > 0 ? 0 : Math.max(flight.attempts, fullAttempts);
    if (number === 0) return this.#planRetry(activation, flight, now);
    flight.retryAt = now;
    this.#parts.wakeBy(activation, now);
  }

  /** The proof did not arrive. Without dates of their own these messages would never be sent again (Q2). */
  #planAgain(activation: Activation, due: readonly (readonly [PartnerId, Flight])[]): void {
    if (activation.phase === 'dropped') return;
    const at = this.#parts.environment.now() + this.#parts.limits.retryMs;
    for (const [, flight] of due) if (flight.retryAt === 0) flight.retryAt = at;
    this.#parts.wakeBy(activation, at);
  }

  #retransmit(activation: Activation, partner: PartnerId, flight: Flight): void {
    // A new session may have started while the proof was in flight. Its flight stays.
    if (activation.flights?.get(partner) !== flight) return;
    const activity = activation.entity.activities.get(partner);
    const outbound = activity?.outbound;
    if (
      activity === undefined ||
      outbound === undefined ||
      outbound !== flight.stream ||
      (outbound.unacked.length === 0 && !outbound.isClosing)
    ) {
      activation.flights?.delete(partner);
      return;
    }
    const [first] = outbound.unacked;
    const { environment, limits } = this.#parts;
    if (first !== undefined && environment.now() > first.expires + limits.skewMaxMs + limits.doubtMs)
      return this.#expire(activation, activity.partner, first);
    flight.attempts += 1;
    flight.transmitted = 0;
    // The partner may be absent or without room. A whole window from every sender would leave capacity for nothing else.
    flight.window = Math.min(flight.window, againCount);
    this.#transmit(activation, activity, flight);
  }

  /** The partner has processed everything up to `through`. */
  acknowledged(activation: Activation, { from, session, number }: StreamEnvelope): void {
    const activity = activation.entity.activities.get(from);
    if (activity?.outbound === undefined) return;
    if (isBeyond(activity.outbound, session, number)) {
      // Sessions of this lineage are never forgotten, so this only shows that another process has used the number.
      if (session > activation.entity.lineage.start) return this.#overtake(activation, activity, session + 1);
      this.#notice(activation, from);
    }
    const removed = acknowledge(activity.outbound, session, number, this.#parts.environment.now());
    if (removed.length === 0) return;
    this.#remove(activation, from, removed);
    const flight = activation.flights?.get(from);
    // A stream that is not durable yet has no flight. The flight of the one before must not continue with its numbers (Q1).
    if (flight === undefined || flight.stream !== activity.outbound) return;
    flight.attempts = 0;
    flight.window = Math.min(2 * flight.window, this.#parts.limits.windowCountMax);
    const [first] = activity.outbound.unacked;
    if (first === undefined) return void activation.flights?.delete(from);
    // An operator has dropped one between the two.
    if (first.seq > number + 1) this.#tellFloor(activation, from, activity.outbound, flight);
    this.#transmit(activation, activity, flight);
  }

  /** These messages have left the outbox. */
  #remove(activation: Activation, partner: PartnerId, removed: readonly OutboxMessage[]): void {
    const { entity } = activation;
    for (const message of removed) {
      leaveOutbox(entity, message);
      entity.changes.records.set(recordName.outbox(partner, message.seq), null);
    }
    entity.changes.records.set(recordName.activity(partner), 'activity');
    if (entity.agreements.size > 0) this.#heard(activation, removed);
    this.wantTrim(activation, this.#parts.environment.now());
  }

  /** A party has acknowledged what its agreement decided (AG8). */
  #heard(activation: Activation, removed: readonly OutboxMessage[]): void {
    const { entity, behaviour } = activation;
    const now = this.#parts.environment.now();
    const count = entity.agreements.size;
    for (const { content } of removed) {
      const due = heard(entity, content, now, behaviour.agreements);
      if (due > 0) this.#parts.wakeBy(activation, Math.max(due, now));
    }
    // Where nothing is to run then, no turn counts it.
    if (entity.agreements.size < count) this.#settled.add(count - entity.agreements.size);
  }

  /** Changes are committed by then, unless a turn commits them earlier. */
  wantTrim(activation: Activation, now: number): void {
    if (activation.planWrite(now + this.#parts.limits.trimIdleMs)) this.#parts.wakeBy(activation, activation.writeAt);
  }

  /** The partner knows a later session than the one sent: an acknowledgement was forgotten here, or history was lost (P8). */
  stale(activation: Activation, { from, session, number: known }: StreamEnvelope): void {
    const activity = activation.entity.activities.get(from);
    const outbound = activity?.outbound;
    if (activity === undefined || outbound === undefined || frontOf(outbound) !== session || known <= session) return;
    this.#overtake(activation, activity, known);
  }

  /** A worker that has lost the entity also remembers less. Only the owner may say so. */
  #overtake(activation: Activation, activity: Activity, known: number): void {
    const stream = activity.outbound;
    const front = stream === undefined ? 0 : frontOf(stream);
    this.#parts.ownership.check(
      activation.partition,
      () => {
        const isStill =
          activation.phase !== 'dropped' && activation.entity.activities.get(activity.partner) === activity;
        if (isStill && stream !== undefined && activity.outbound === stream && frontOf(stream) === front)
          this.#goOnAbove(activation, activity, known);
      },
      () => undefined,
    );
  }

  /** Continues in a session that the partner cannot know. Messages that were settled in the lost history are removed (A6). */
  #goOnAbove(activation: Activation, activity: Activity, known: number): void {
    const { entity } = activation;
    const { partner, outbound } = activity;
    const now = this.#parts.environment.now();
    const isLost = outbound !== undefined && known > outbound.session;
    const settled = overtaken(activity, known, entity.lineage, now);
    this.#remove(activation, partner, settled);
    if (isLost) {
      this.#notice(activation, partner);
      // One that had expired may have become a dead letter there, which is lost too.
      for (const message of settled) if (now > message.expires) this.#bury(activation, partner, message, inDoubt);
    }
    if (activity.outbound !== outbound) this.#renumber(activation, activity, outbound);
    this.#land(activation, activity);
    activation.batch().addSent(activity);
    this.#parts.commit(activation);
  }

  /** Messages that continue start a new flight when they are durable. Dead letters of the stream may still be in flight (Q3). */
  #land(activation: Activation, { partner, outbound }: Activity): void {
    const flight = activation.flights?.get(partner);
    activation.flights?.delete(partner);
    if (flight === undefined || outbound === undefined || flight.stream !== outbound) return;
    const { stream, buried } = flight;
    if (buried.length > 0)
      activation.flights?.set(partner, Object.assign(flight, { ...newFlight(stream, this.#parts.limits), buried }));
  }

  /** Messages have moved to another stream, so their records have other names. */
  #renumber(activation: Activation, { partner, outbound }: Activity, before: Outbound | undefined): void {
    const { entity } = activation;
    const { records } = entity.changes;
    for (const { seq } of before?.unacked ?? []) records.set(recordName.outbox(partner, seq), null);
    for (const message of outbound?.unacked ?? []) notePart(entity, 'outbox', { partner, message });
  }

  /** Sessions of the other types are forgotten with each stay, so there it means nothing. */
  #notice({ address, partition, behaviour }: Activation, partner: PartnerId): void {
    if (behaviour.durability === 'turn') this.#parts.noticed({ entity: address, partition, partner });
  }

  /** The answer to a probe: the expired message was processed, or never will be (Q3, P7). */
  probed(activation: Activation, envelope: StreamEnvelope): void {
    const { entity } = activation;
    const outbound = entity.activities.get(envelope.from)?.outbound;
    const message = outbound?.unacked[0];
    const { environment, limits } = this.#parts;
    const now = environment.now();
    if (
      outbound === undefined ||
      message === undefined ||
      frontOf(outbound) !== envelope.session ||
      now <= message.expires + limits.skewMaxMs
    )
      return;
    if (envelope.number >= message.seq) return this.acknowledged(activation, envelope);
    // A late answer to an earlier probe says nothing about this message.
    if (envelope.number !== -message.seq) return;
    this.#expire(activation, envelope.from, message);
  }

  /** The first message of a stream was not processed in time: it becomes a dead letter, and the floor moves on (P7). */
  #expire(activation: Activation, partner: PartnerId, message: OutboxMessage): void {
    const { environment, limits } = this.#parts;
    const isSure = environment.now() <= message.expires + limits.doubtMs;
    this.#giveUp(activation, partner, message, isSure ? 'it expired before its receiver processed it' : inDoubt);
  }

  /** A message fits into no frame: it becomes a dead letter (P7). An earlier copy may have been small enough. */
  unsendable(activation: Activation, { to, arrival }: MessageEnvelope, bytes: number): void {
    const outbound = activation.entity.activities.get(to)?.outbound;
    const [first] = outbound?.unacked ?? [];
    // Not the first yet. When it is, it is found too large again.
    if (outbound === undefined || first?.seq !== arrival.seq || frontOf(outbound) !== arrival.session) return;
    const reason = `it takes ${bytes} bytes with its envelope and no longer fits into a frame, because NATS came back with a smaller max_payload; if it was sent before, its receiver may have processed it`;
    this.#giveUp(activation, to, first, reason);
  }

  #giveUp(activation: Activation, partner: PartnerId, message: OutboxMessage, reason: string): void {
    this.#bury(activation, partner, message, reason);
    const activity = activation.entity.activities.get(partner);
    const outbound = activity?.outbound;
    if (activity === undefined || outbound === undefined) return;
    this.#holdFloor(activation, activity, outbound, message.seq);
    this.acknowledged(activation, {
      kind: 'ack',
      to: activation.address,
      from: partner,
      session: frontOf(outbound),
      number: message.seq,
    });
    activation.batch().addSent(activity);
    this.#parts.commit(activation);
  }

  /** It will not be sent again: a dead letter. */
  #bury({ entity }: Activation, partner: PartnerId, message: OutboxMessage, reason: string): void {
    buryUnsent(entity, partner, message, { version: entity.version + 1, reason, at: this.#parts.environment.now() });
  }
}

function newFlight(stream: Outbound, { windowCountMax }: Limits): Flight {
  return {
    stream,
    durable: 0,
    buried: [],
    isClosing: false,
    transmitted: 0,
    window: windowCountMax,
    attempts: 0,
    retryAt: 0,
  };
}

/** The floor to send: it passes nothing that is in neither the outbox nor the dead letters of the store (Q3). */
function toldFloor(outbound: Outbound, flight: Flight | undefined): number {
  const floor = floorOf(outbound);
  return flight === undefined || flight.buried.length === 0 ? floor : Math.min(floor, ...flight.buried);
}
