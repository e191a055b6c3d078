/**
 * Closing: how a stream that has gone quiet ends, so that neither side remembers it for long (P10).
 *
 *     sender:   quiet ──commit──▶ closing ──close, again and again──▶ told ──closed──▶ forgotten with the next commit
 *     receiver: close ──▶ noted ──next commit──▶ closed
 *
 * Nobody waits for any of it. So what is noted goes with the next commit that the entity has anyway, or after `trimIdleMs`
 * with one of its own: the streams of one conversation end in two or three commits of each side, not in some for each of them.
 *
 * Owns both ends of that; sending it is `delivery.ts`, when records go `retention.ts`, why they may `core/activity.ts`.
 *
 * Invariants:
 * - CL1 A sender says 'close' only when the store has both the close and every acknowledgement of the session (A5), also a sender
 *   that is written only now and then: what the store has in the outbox is sent again after a crash. Where nothing is written, at once.
 * - CL2 A receiver whose turns are durable says 'closed' only when the store knows it: else one that comes after it would
 *   remember the session for a horizon.
 */
import { isEmpty, mayClose } from '../../core/activity.ts';
import type { Limits } from '../../core/limits.ts';
import { recordName } from '../../core/record.ts';
import type { Environment } from '../environment.ts';
import type { Asked, Envelope, StreamEnvelope } from '../wire/envelope.ts';
import type { Activation } from './activation.ts';
import { sentOf } from './batch.ts';
import type { Delivery } from './delivery.ts';

export interface StreamClosingParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly delivery: Delivery;
  readonly post: (envelope: Envelope) => void;
  /** The activation wants to be woken by then. */
  readonly wakeBy: (activation: Activation, at: number) => void;
}

export class StreamClosing {
  readonly #parts: StreamClosingParts;

  constructor(parts: StreamClosingParts) {
    this.#parts = parts;
  }

  /** Close streams that have been quiet; returns when the next one will have been, ms, or Infinity. The caller commits. */
  closeIdle(activation: Activation, now: number): { isChanged: boolean; next: number } {
    const { limits, delivery } = this.#parts;
    let isChanged = false;
    let next = Number.POSITIVE_INFINITY;
    for (const activity of activation.entity.activities.values()) {
      const { outbound } = activity;
      if (outbound === undefined) continue;
      const isClosing = outbound.isClosing && outbound.unacked.length === 0;
      if (isClosing && activation.flights?.has(activity.partner) !== true) {
        if (activation.isDurable) delivery.durable(activation, activity, sentOf(outbound));
        else {
          // With the next commit: an entity that leaves memory after each visit would else never come to it.
          activation.batch().addSent(activity);
          isChanged = true;
        }
      }
      // Its flight tells the partner again and again; the date is for an owner that comes after this one.
      if (outbound.isClosing || outbound.unacked.length > 0) next = Math.min(next, now + limits.closeIdleMs);
      else if (mayClose(outbound, now, limits)) {
        outbound.isClosing = true;
        activation.entity.changes.records.set(recordName.activity(activity.partner), 'activity');
        activation.batch().addSent(activity);
        isChanged = true;
        next = Math.min(next, now + limits.closeIdleMs);
      } else {
        // A little later, and all of one conversation are closed at once.
        next = Math.min(next, outbound.activeAt + limits.closeIdleMs + limits.trimIdleMs);
      }
    }
    return { isChanged, next };
  }

  /** The sender will send nothing more of this session: from here its record need only outlive copies under way (A3). */
  close(activation: Activation, close: StreamEnvelope): void {
    const { from, session } = close;
    const { environment, limits, delivery, wakeBy } = this.#parts;
    const { entity } = activation;
    const inbound = entity.activities.get(from)?.inbound;
    const closed: StreamEnvelope = { kind: 'closed', to: from, from: activation.address, session, number: 0 };
    const name = recordName.activity(from);
    if (inbound === undefined || inbound.session !== session) return this.#say(activation, closed, close);
    // What is noted and not yet durable will be said anyway.
    if (inbound.closedAt > 0)
      return entity.changes.records.has(name) ? undefined : this.#say(activation, closed, close);
    const now = environment.now();
    inbound.closedAt = now;
    const forgetAt = now + limits.transitMaxMs + 2 * limits.skewMaxMs + 1;
    if (entity.forgetAt === 0 || entity.forgetAt > forgetAt) entity.forgetAt = forgetAt;
    entity.changes.records.set(name, 'activity');
    wakeBy(activation, forgetAt);
    // A crash of such a type loses more than this, and its next write may be far.
    if (activation.behaviour.durability !== 'turn') this.#parts.post(closed);
    else activation.owe(closed);
    if (activation.gathering !== undefined) return;
    // Both end at once, mostly: one of the two waits until it hears that its own is over as well, and writes both.
    const isPatient = entity.activities.get(from)?.outbound?.isClosing === true && activation.address < from;
    delivery.wantTrim(activation, now + (isPatient ? limits.trimIdleMs : 0));
  }

  /** Once more, when what was noted of it is durable. */
  #say(activation: Activation, closed: StreamEnvelope, asked: Asked): void {
    const pending = activation.gathering ?? activation.flying;
    if (pending === undefined) this.#parts.post(closed);
    else pending.addAnswer(closed, asked);
  }

  /** The partner has forgotten the closed session: so does this side. */
  closed(activation: Activation, { from, session }: StreamEnvelope): void {
    const { entity } = activation;
    const activity = entity.activities.get(from);
    if (activity?.outbound === undefined || !activity.outbound.isClosing || activity.outbound.session !== session)
      return;
    activity.outbound = undefined;
    activation.flights?.delete(from);
    // Where activities are in the store as well, an empty one says that this one is gone, until the store knows it too.
    if (isEmpty(activity) && entity.isComplete) entity.activities.delete(from);
    entity.changes.records.set(recordName.activity(from), 'activity');
    this.#parts.delivery.wantTrim(activation, this.#parts.environment.now());
  }
}
