/**
 * Authorisation: a hook decides who may do what, given the caller's verified identity.
 *
 * Invariants:
 * - AU1 It is asked for every envelope that no worker sent, whatever it wants; what it allows is what runs.
 */
import type { Content } from '../core/activity.ts';
import { type Address, isEntityPartner } from '../core/message.ts';
import type { MessageEnvelope, QueryEnvelope } from './envelope.ts';

/** What somebody who is no worker wants: see `Authorise`. */
export interface AuthoriseCall {
  /** Where its answers go to: one for each client. */
  readonly client: string;
  /** Who calls, as the server or a trusted process vouches for it; '' where the client has none. */
  readonly identity: string;
  readonly address: Address;
  /** A query; an operation, or the confirm or cancel of what it holds; the retry or drop of a dead letter. */
  readonly kind: 'query' | Content['kind'];
  /** What runs if it is allowed; of a dead letter, the operation in it. */
  readonly operation: string;
}

/** Decides about one call of a client. False denies it; so does a string, which the caller is told as the reason. */
export type Authorise = (call: AuthoriseCall) => boolean | string;

/** Why a call is denied; undefined: it is not. What entities send each other is not asked about. */
export function reasonToDeny(
  authorise: Authorise | undefined,
  envelope: MessageEnvelope | QueryEnvelope,
): string | undefined {
  if (authorise === undefined) return undefined;
  // Entities are heard by the subjects of workers only (M7).
  if (envelope.kind === 'message' && isEntityPartner(envelope.from)) return undefined;
  const { kind, operation } = envelope.kind === 'query' ? envelope : envelope.content;
  const { replyTo: client, identity, to: address } = envelope;
  try {
    const verdict = authorise({ client, identity, address, kind, operation });
    if (verdict === true) return undefined;
    return typeof verdict === 'string' ? verdict : '';
  } catch {
    return 'The authorisation hook threw';
  }
}
