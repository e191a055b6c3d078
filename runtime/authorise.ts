/**
 * Authorisation: a hook decides per call who may do what, given the caller's verified identity.
 */
import type { Address } from '../core/message.ts';
import type { MessageEnvelope, QueryEnvelope } from './envelope.ts';

/** Decides about one call of a client. False denies it; so does a string, which the caller is told as the reason. */
export type Authorise = (call: {
  readonly client: string;
  /** '' where the client has none. */
  readonly identity: string;
  readonly address: Address;
  readonly operation: string;
}) => boolean | string;

/** Why a call is denied; undefined: it is not. What entities send each other is not asked about. */
export function reasonToDeny(
  authorise: Authorise | undefined,
  envelope: MessageEnvelope | QueryEnvelope,
): string | undefined {
  if (authorise === undefined || envelope.replyTo === '') return undefined;
  const operation = envelope.kind === 'query' ? envelope.operation : envelope.content.operation;
  const { replyTo: client, identity, to: address } = envelope;
  try {
    const verdict = authorise({ client, identity, address, operation });
    if (verdict === true) return undefined;
    return typeof verdict === 'string' ? verdict : '';
  } catch {
    return 'The authorisation hook threw';
  }
}
