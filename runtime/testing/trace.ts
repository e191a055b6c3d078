/** Describes what happens, in the lines of a trace. Owns neither checks nor state. */
import { kindIn } from '../../core/record.ts';
import type { Envelope } from '../wire/envelope.ts';
import type { Change } from './image.ts';

/** An envelope in one line. */
export function textOf(envelope: Envelope): string {
  switch (envelope.kind) {
    case 'message': {
      const { session, seq, floor, sent } = envelope.arrival;
      return `message ${envelope.from} -> ${envelope.to} ${session}.${seq} floor ${floor} sent ${sent} ${envelope.content.kind} ${envelope.content.operation}`;
    }
    case 'query':
      return `query ${envelope.replyTo}:${envelope.call} -> ${envelope.to} ${envelope.operation}`;
    case 'reply':
      return `reply ${envelope.status} -> ${envelope.to}:${envelope.call}`;
    default:
      return `${envelope.kind} ${envelope.from} -> ${envelope.to} ${envelope.session}.${envelope.number}`;
  }
}

/** A commit in one line. */
export function textOfChange({ commit, activities }: Change): string {
  const changed = activities.map(([partner, activity]) => {
    const { inbound, outbound } = activity ?? {};
    const closed = inbound !== undefined && inbound.closedAt > 0 ? ' closed' : '';
    const incoming = inbound === undefined ? '' : ` in ${inbound.session}.${inbound.through}${closed}`;
    return `${partner}${incoming}${outbound === undefined ? '' : ` out ${outbound.session}.${outbound.next}${outbound.isClosing ? ' closing' : ''}`}`;
  });
  const names = commit.records
    .filter(([name]) => kindIn(name) !== 'activities')
    .map(([name, bytes]) => `${bytes === null ? '-' : '+'}${JSON.stringify(name)}`);
  return `${commit.address} ${commit.version} partition ${commit.partition} epoch ${commit.epoch} wakes ${commit.wakeAt}: ${[...changed, ...names].join(', ')}`;
}
