/**
 * Stream closing: ends a quiet stream, so that neither side remembers it for long (P10).
 *
 *     sender:   quiet ──commit──▶ closing ──close, again and again──▶ told ──closed──▶ forgotten with the next commit
 *     receiver: close ──▶ noted ──next commit──▶ closed
 *
 * Nothing waits for it. So changes go with the entity's next commit, or after `trimIdleMs` with their own: the streams of one
 * conversation end in two or three commits of each side, not in several for each stream.
 *
 * Owns both ends of closing. `delivery.ts` sends the close, `retention.ts` removes the records, `core/activity.ts` says why they may go.
 *
 * Invariants:
 * - CL1 A sender says 'close' only when the store has both the close and every acknowledgement of the session (A5); also a sender that
 *   is written at intervals, because the outbox in the store is sent again after a crash. A type that is never written says it at once.
 * - CL2 A receiver whose turns are durable says 'closed' only when the store has it. Otherwise the next owner would remember the
 *   session for a horizon.
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

  /** Closes quiet streams. Returns when the next one will have been quiet, ms, or Infinity. The caller commits. */
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
          // With the next commit: an entity that leaves memory after each visit would otherwise never close it.
          activation.batch().addSent(activity);
          isChanged = true;
        }
      }
      // Its flight repeats the close. The date is for the next owner.
      if (outbound.isClosing || outbound.unacked.length > 0) next = Math.min(next, now + limits.closeIdleMs);
      else if (mayClose(outbound, now, limits)) {
        outbound.isClosing = true;
        activation.entity.changes.records.set(recordName.activity(activity.partner), 'activity');
        activation.batch().addSent(activity);
        isChanged = true;
        next = Math.min(next, now + limits.closeIdleMs);
      } else {
        // A little later, so that all streams of one conversation are closed at once.
        next = Math.min(next, outbound.activeAt + limits.closeIdleMs + limits.trimIdleMs);
      }
    }
    return { isChanged, next };
  }

  /** The sender will send nothing more in this session. From here on its record need only outlive copies in flight (A3). */
  close(activation: Activation, close: StreamEnvelope): void {
    const { from, session } = close;
    const { environment, limits, delivery, wakeBy } = this.#parts;
    const { entity } = activation;
    const inbound = entity.activities.get(from)?.inbound;
    const closed: StreamEnvelope = { kind: 'closed', to: from, from: activation.address, session, number: 0 };
    const name = recordName.activity(from);
    if (inbound === undefined || inbound.session !== session) return this.#say(activation, closed, close);
    // A change that is noted and not yet durable will be sent anyway.
    if (inbound.closedAt > 0)
      return entity.changes.records.has(name) ? undefined : this.#say(activation, closed, close);
    const now = environment.now();
    inbound.closedAt = now;
    const forgetAt = now + limits.transitMaxMs + 2 * limits.skewMaxMs + 1;
    if (entity.forgetAt === 0 || entity.forgetAt > forgetAt) entity.forgetAt = forgetAt;
    entity.changes.records.set(name, 'activity');
    wakeBy(activation, forgetAt);
    // A crash of such a type loses more than this, and its next write may be far off.
    if (activation.behaviour.durability !== 'turn') this.#parts.post(closed);
    else activation.owe(closed);
    if (activation.gathering !== undefined) return;
    // Usually both sides end at once: one waits until it hears that its own stream is over too, and writes both.
    const isPatient = entity.activities.get(from)?.outbound?.isClosing === true && activation.address < from;
    delivery.wantTrim(activation, now + (isPatient ? limits.trimIdleMs : 0));
  }

  /** Once more, when the noted change is durable. */
  #say(activation: Activation, closed: StreamEnvelope, asked: Asked): void {
    const pending = activation.gathering ?? activation.flying;
    if (pending === undefined) this.#parts.post(closed);
    else pending.addAnswer(closed, asked);
  }

  /** The partner has forgotten the closed session, so this side forgets it too. */
  closed(activation: Activation, { from, session }: StreamEnvelope): void {
    const { entity } = activation;
    const activity = entity.activities.get(from);
    if (activity?.outbound === undefined || !activity.outbound.isClosing || activity.outbound.session !== session)
      return;
    activity.outbound = undefined;
    activation.flights?.delete(from);
    // If activities are in the store as well, an empty one marks this one as removed until the store knows it too.
    if (isEmpty(activity) && entity.isComplete) entity.activities.delete(from);
    entity.changes.records.set(recordName.activity(from), 'activity');
    this.#parts.delivery.wantTrim(activation, this.#parts.environment.now());
  }
}
