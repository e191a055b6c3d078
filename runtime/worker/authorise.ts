/**
 * Authorisation: a hook decides who may do what, given the caller's verified identity.
 *
 * Invariants:
 * - AU1 It is asked for every envelope that no worker sent, whatever it wants; what it allows is what runs.
 * - AU2 A hook that throws, or returns what is no answer, denies, and the log says why.
 */
import type { Content } from '../../core/activity.ts';
import { stackText } from '../../core/errors.ts';
import { type Address, isEntityPartner } from '../../core/message.ts';
import type { Environment } from '../environment.ts';
import type { MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';

/** What somebody who is no worker wants: see `Authorise`. */
export interface AuthoriseCall {
  /** Where its answers go to: one for each client. */
  readonly client: string;
  /** Who calls, as the server or a trusted process vouches for it; '' where the client has none. */
  readonly identity: string;
  readonly address: Address;
  /** A query; an operation, or the confirm or cancel of what it holds; the retry or drop of a dead letter; the drop of a message from an outbox. */
  readonly kind: 'query' | Content['kind'];
  /** What runs if it is allowed; of a dead letter or a message of an outbox, the operation in it. */
  readonly operation: string;
}

/** Decides about one call of a client. False denies it; so does a string, which the caller is told as the reason. */
export type Authorise = (call: AuthoriseCall) => boolean | string;

/** How often at most the log is told of a hook that fails, ms: it is asked for every call. */
const tellMs = 10_000;

/** Tells the log of a hook that fails, which denies everything: without that nobody would learn why (AU2). */
export function hookFailures({ log, steady }: Environment): (address: Address, error: unknown) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (entity, error) => {
    if (steady() - toldAt < tellMs) return;
    toldAt = steady();
    log.error({ entity, stack: stackText(error) }, 'the authorisation hook failed; what it is asked about is denied');
  };
}

/** Why a call is denied; undefined: it is not. What entities send each other is not asked about. */
export function reasonToDeny(
  authorise: Authorise | undefined,
  envelope: MessageEnvelope | QueryEnvelope,
  failed: (address: Address, error: unknown) => void = () => undefined,
): string | undefined {
  if (authorise === undefined) return undefined;
  // Entities are heard by the subjects of workers only (M7).
  if (envelope.kind === 'message' && isEntityPartner(envelope.from)) return undefined;
  const { kind, operation } = envelope.kind === 'query' ? envelope : envelope.content;
  const { replyTo: client, identity, to: address } = envelope;
  try {
    const verdict: unknown = authorise({ client, identity, address, kind, operation });
    if (verdict === true) return undefined;
    if (typeof verdict === 'string') return verdict;
    if (verdict !== false)
      failed(address, new Error(`it returned ${nameOf(verdict)}; it must return true, false or a text`));
    return '';
  } catch (error) {
    failed(address, error);
    return 'The authorisation hook threw';
  }
}

function nameOf(verdict: unknown): string {
  if (verdict instanceof Promise) return 'a promise';
  return verdict === undefined || verdict === null ? String(verdict) : `a value of type ${typeof verdict}`;
}
