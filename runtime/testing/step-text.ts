/** What happens in an enumeration, in the words of an application: one line for each step of a trace. */
import { errorText } from '../../core/errors.ts';
import { type Address, clientOf, isEntityPartner, type PartnerId } from '../../core/message.ts';
import { readRow } from '../../core/perform.ts';
import type { AnswerRow } from '../../core/request.ts';
import { askedBy } from '../../core/turn-parts.ts';
import { decode } from '../wire/codec.ts';
import type { Cause, EntityState, EnumeratedTurn, Underway } from './entity-states.ts';

/** What a step is; the report counts them. */
export type StepKind =
  | 'call'
  | 'repeat'
  | 'message'
  | 'refusal'
  | 'failure'
  | 'lapse'
  | 'timer'
  | 'effect'
  | 'delay'
  | 'crash'
  | 'time';

const injectedWords: { readonly [Kind in StepKind]?: string } = {
  refusal: ', made to refuse',
  failure: ', made to fail',
};

export const stepText = {
  /** Time has passed. */
  time(ms: number): string {
    return `${ms.toLocaleString('en')} ms pass`;
  },

  /** An entity has run a turn. */
  turn({ address, record }: EntityState, cause: Cause, turn: EnumeratedTurn, kind: StepKind): string {
    const end = turn.kind === 'committed' ? answerText(turn.answer) : 'threw';
    switch (cause.kind) {
      case 'message': {
        const { partner, message } = cause;
        const again = kind === 'repeat' ? ', again' : '';
        return `${partnerText(partner)} → ${address} ${messageText(message)}${again}${injectedWords[kind] ?? ''}: ${end}`;
      }
      case 'due': {
        const { member, part } = askedBy(record, cause.due.request) ?? {};
        return `${address}: ${member?.nameOf(part) ?? ''} (${member?.contentOf(part).operation ?? ''}): ${end}`;
      }
      case 'effect':
        return `${address}: outcome of ${record.effects.get(cause.request.id)?.name ?? ''} ${plainText(cause.request.outcome)}`;
    }
  },

  threw(address: Address, { error }: Extract<EnumeratedTurn, { kind: 'threw' }>): string {
    const stack = error instanceof Error ? (error.stack ?? error.message) : errorText(error);
    return `A turn of ${address} threw: ${stack}`;
  },
};

function partnerText(partner: PartnerId): string {
  return isEntityPartner(partner) ? partner : clientOf(partner).identity;
}

/** A message, in one line. */
export function messageText({ content: { kind, operation, payload } }: Underway): string {
  if (kind === 'answer') return `answer to ${operation} (${answerText(readRow(decode(payload)))})`;
  const input = payload.length === 0 ? '' : ` ${plainText(decode(payload))}`;
  return kind === 'operation' ? operation + input : `${kind} of ${operation}`;
}

/** A value of an application, in one line. */
export function plainText(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`;
    return part instanceof Uint8Array ? `${part.length} bytes` : part;
  });
  return text ?? 'undefined';
}

function answerText(row: AnswerRow | undefined): string {
  if (row === undefined) return 'answered later';
  const [status, first] = row;
  const more =
    status === 'refused' || status === 'failed' ? String(first) : first === undefined ? '' : plainText(first);
  return more === '' ? status : `${status}, ${more}`;
}
