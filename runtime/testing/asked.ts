/**
 * The messages of a play that wait for an answer.
 *
 * Owns the check that an answer which a test hands in is one that the receiver could give.
 */
import type { Content } from '../../core/activity.ts';
import { SkerryError } from '../../core/errors.ts';
import type { PartnerId } from '../../core/message.ts';
import type { PlayedAnswer } from './play.ts';

interface Message {
  readonly to: PartnerId;
  readonly operation: string;
  /** Id of its hold; '' if it has none. */
  readonly hold: string;
  isAccepted: boolean;
}

export class Asked {
  readonly #address: string;
  #messages: Message[] = [];

  constructor(address: string) {
    this.#address = address;
  }

  add(to: PartnerId, { kind, operation, hold }: Content): void {
    if (kind === 'operation') this.#messages.push({ to, operation, hold, isAccepted: false });
  }

  /** The oldest message that this answer can be to. */
  find(from: PartnerId, operation: string, answer: PlayedAnswer): Message {
    const given = 'hold' in answer ? answer.hold?.id : undefined;
    const sent = this.#messages.filter(
      (one) => one.to === from && one.operation === operation && one.hold === (given ?? one.hold),
    );
    const found = sent.find((one) => canGet(one, answer.status));
    if (found !== undefined) return found;
    const waiting = sent.length === 0 ? '' : ` that can be answered with '${answer.status}'`;
    throw new SkerryError('not-found', `${this.#address} has sent no ${operation} to ${from}${waiting}`);
  }

  /** That answer has been processed. After `accepted` another one follows. */
  answered(message: Message, { status }: PlayedAnswer): void {
    if (status === 'accepted') message.isAccepted = true;
    else this.#messages = this.#messages.filter((one) => one !== message);
  }
}

function canGet({ hold, isAccepted }: Message, status: PlayedAnswer['status']): boolean {
  if (status === 'done') return hold === '';
  if (status === 'accepted') return hold !== '' && !isAccepted;
  return status === 'refused' || status === 'failed' || hold !== '';
}
