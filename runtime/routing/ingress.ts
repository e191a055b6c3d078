/**
 * Ingress: checks what a worker accepts from clients, gateways and tools. They publish to *doors*: subjects that end in the
 * sender's own word. The server enforces that (`wire/subjects.ts`), so the word is trusted, and only frames that agree with
 * it are accepted.
 *
 * Acknowledgements, ends of streams, replies, location hints and messages of entities come from workers only. They arrive on
 * the subjects of workers and are rejected here, whoever sent them.
 *
 * Invariants:
 * - DO1 The identity of a client's call is that of its door. A gateway or a tool may state any identity.
 * - DO2 The partner name of a call, and the id of its hold, belong to its identity.
 * - DO3 Answers go only to a subject of the sender.
 * - DO4 Only a tool may resolve dead letters or drop messages of an outbox.
 */
import type { Content } from '../../core/activity.ts';
import { identityWord, isEntityPartner, isIdentity } from '../../core/message.ts';
import type { Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { hasWorkerEntries } from '../wire/extension.ts';
import { identityIn, lastWordOf, type Party, type Subjects } from '../wire/subjects.ts';

/** Kinds of content that clients send. */
const callKinds: ReadonlySet<Content['kind']> = new Set(['operation', 'confirm', 'cancel']);
const toolKinds: ReadonlySet<Content['kind']> = new Set([...callKinds, 'dead-retry', 'dead-drop', 'outbox-drop']);
/** Kinds of content that entities send each other. */
const entityKinds: ReadonlySet<Content['kind']> = new Set([...callKinds, 'answer', 'later-answer']);

/** The sender at a door, as its subject identifies it. */
export class Visitor {
  readonly #party: Party;
  /** The only identity that it may state; undefined for gateways and tools. */
  readonly #identity: string | undefined;
  readonly #homes: readonly string[];
  /** The last values found valid. Successive envelopes usually have the same. */
  #soundReplyTo: string | undefined;
  #soundIdentity: string | undefined;
  #soundFrom: string | undefined;

  private constructor(party: Party, identity: string, homes: readonly string[]) {
    this.#party = party;
    this.#identity = party === 'client' ? identity : undefined;
    this.#homes = homes;
  }

  /** Undefined if the last word of the subject is not a valid one. */
  static at(party: Party, subject: string, subjects: Subjects): Visitor | undefined {
    const word = lastWordOf(subject);
    const identity = identityIn(word);
    if (identity === undefined) return undefined;
    return new Visitor(party, identity, subjects.homes(word));
  }

  /** Whether answers may go to that subject (DO3). */
  isHome(subject: string): boolean {
    if (subject === this.#soundReplyTo) return true;
    if (!this.#homes.some((home) => subject.startsWith(home))) return false;
    this.#soundReplyTo = subject;
    return true;
  }

  /** Whether it may send this well-formed envelope. */
  maySend(envelope: Envelope): boolean {
    if (envelope.kind !== 'query' && envelope.kind !== 'message') return false;
    if (envelope.extension !== undefined && hasWorkerEntries(envelope.extension)) return false;
    if (!this.#isIdentity(envelope.identity) || !this.isHome(envelope.replyTo)) return false;
    return envelope.kind === 'query' || this.#maySendMessage(envelope);
  }

  #isIdentity(identity: string): boolean {
    if (identity === this.#soundIdentity) return true;
    if (this.#identity === undefined ? !isIdentity(identity) : identity !== this.#identity) return false;
    this.#soundIdentity = identity;
    this.#soundFrom = undefined;
    return true;
  }

  #maySendMessage({ from, identity, content }: MessageEnvelope): boolean {
    if (from !== this.#soundFrom) {
      if (isEntityPartner(from) || !from.startsWith(`${identityWord(identity)}.`, 1)) return false;
      this.#soundFrom = from;
    }
    if (!(this.#party === 'tool' ? toolKinds : callKinds).has(content.kind)) return false;
    return content.kind !== 'operation' || content.hold === '' || isHoldOf(from, content.hold);
  }
}

/** Most visitors that are remembered. Beyond it all are forgotten and checked anew. */
const visitorCountMax = 4_096;

/** Finds the visitor of a subject. Earlier visitors are cached. */
export function visitorBook(subjects: Subjects): (party: Party, subject: string) => Visitor | undefined {
  const known = new Map<string, Visitor>();
  return (party, subject) => {
    let visitor = known.get(subject);
    if (visitor !== undefined) return visitor;
    visitor = Visitor.at(party, subject, subjects);
    if (visitor === undefined) return undefined;
    if (known.size >= visitorCountMax) known.clear();
    known.set(subject, visitor);
    return visitor;
  };
}

/** The id of a hold starts with the partner that made it, so that one partner cannot use another's id first (DO2). */
function isHoldOf(partner: string, hold: string): boolean {
  return hold === partner || (hold.startsWith(partner) && hold[partner.length] === '.');
}

/** Whether a message between workers is consistent: from an entity, or from a client that waits for the answer. */
export function isSoundMessage({ from, replyTo, content }: MessageEnvelope): boolean {
  if (isEntityPartner(from)) return replyTo === '' && entityKinds.has(content.kind);
  return replyTo !== '' && toolKinds.has(content.kind);
}
