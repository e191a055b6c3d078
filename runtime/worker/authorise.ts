/**
 * Authorisation: the application's hook decides about each call, given the caller's verified identity.
 *
 * Invariants:
 * - AU1 The hook is called for every envelope that no worker sent, whatever its kind. Only what it allows runs.
 * - AU2 A hook that throws, or returns an invalid value, denies the call, and the log says why.
 */
import type { Content } from '../../core/activity.ts';
import { stackText } from '../../core/errors.ts';
import { type Address, isEntityPartner } from '../../core/message.ts';
import type { Environment } from '../environment.ts';
import type { MessageEnvelope, QueryEnvelope } from '../wire/envelope.ts';

/** A call of a client, as passed to the authorisation hook. */
export interface AuthoriseCall {
  /** The subject of the client's answers; different for each client. */
  readonly client: string;
  /** The caller's identity, verified by the NATS server or by a trusted process; '' if it has none. */
  readonly identity: string;
  readonly address: Address;
  /** `query`, `operation`, `confirm` or `cancel`; of a tool also `dead-retry`, `dead-drop` or `outbox-drop`. */
  readonly kind: 'query' | Content['kind'];
  /** The operation to run; for a dead letter or an outbox message, the operation in it. */
  readonly operation: string;
}

/**
 * The authorisation hook: decides about one call of a client, synchronously. `true` allows it. `false` or a string denies
 * it with `denied`; the string is the reason that the caller gets. A hook that throws denies the call. Messages between
 * entities are not checked.
 */
export type Authorise = (call: AuthoriseCall) => boolean | string;

/** Minimum interval between log lines about a failing hook, ms, because the hook runs for every call. */
const tellMs = 10_000;

/** Logs that the hook fails, because a failing hook denies everything and nothing else would say why (AU2). */
export function hookFailures({ log, steady }: Environment): (address: Address, error: unknown) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (entity, error) => {
    if (steady() - toldAt < tellMs) return;
    toldAt = steady();
    log.error({ entity, stack: stackText(error) }, 'the authorisation hook failed; the request is denied');
  };
}

/** Why a call is denied; undefined if it is allowed. Messages between entities are not checked. */
export function reasonToDeny(
  authorise: Authorise | undefined,
  envelope: MessageEnvelope | QueryEnvelope,
  failed: (address: Address, error: unknown) => void = () => undefined,
): string | undefined {
  if (authorise === undefined) return undefined;
  // Messages of entities arrive on the subjects of workers only (M7).
  if (envelope.kind === 'message' && isEntityPartner(envelope.from)) return undefined;
  const { kind, operation } = envelope.kind === 'query' ? envelope : envelope.content;
  const { replyTo: client, identity, to: address } = envelope;
  try {
    const verdict: unknown = authorise({ client, identity, address, kind, operation });
    if (verdict === true) return undefined;
    if (typeof verdict === 'string') return verdict;
    if (verdict !== false)
      failed(address, new Error(`it returned ${nameOf(verdict)}; it must return true, false or a string`));
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
