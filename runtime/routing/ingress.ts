/**
 * Doors: what a worker takes from those who are no workers. The server lets each publish to doors that end in its own word
 * only (`wire/subjects.ts`), so that word is believed, and of what the frames say only what agrees with it.
 *
 * What only workers may say (acknowledgements, ends of streams, replies, whereabouts, messages of entities) comes by the
 * subjects of workers and is refused here, whoever sent it.
 *
 * Invariants:
 * - DO1 The identity of a client's call is the one of the door; a gateway and a tool name any, since the server let them.
 * - DO2 The partner that a call comes from, and the hold that it asks for, are of its identity.
 * - DO3 What comes back goes to a subject of who asked.
 * - DO4 Dead letters are a tool's to resolve, and messages of outboxes a tool's to drop.
 */
import type { Content } from '../../core/activity.ts';
import { identityWord, isEntityPartner, isIdentity } from '../../core/message.ts';
import type { Envelope, MessageEnvelope } from '../wire/envelope.ts';
import { hasWorkerEntries } from '../wire/extension.ts';
import { identityIn, lastWordOf, type Party, type Subjects } from '../wire/subjects.ts';

/** What clients ask entities for. */
const callKinds: ReadonlySet<Content['kind']> = new Set(['operation', 'confirm', 'cancel']);
const toolKinds: ReadonlySet<Content['kind']> = new Set([...callKinds, 'dead-retry', 'dead-drop', 'outbox-drop']);
/** What entities send each other. */
const entityKinds: ReadonlySet<Content['kind']> = new Set([...callKinds, 'answer']);

/** Who stands at a door, as the subject says. */
export class Visitor {
  readonly #party: Party;
  /** Of a client: as whom alone it calls. */
  readonly #identity: string | undefined;
  readonly #homes: readonly string[];
  /** What was looked at last: one after the other mostly is the same. */
  #soundReplyTo: string | undefined;
  #soundIdentity: string | undefined;
  #soundFrom: string | undefined;

  private constructor(party: Party, identity: string, homes: readonly string[]) {
    this.#party = party;
    this.#identity = party === 'client' ? identity : undefined;
    this.#homes = homes;
  }

  /** Undefined: the subject ends in no word that anybody could have. */
  static at(party: Party, subject: string, subjects: Subjects): Visitor | undefined {
    const word = lastWordOf(subject);
    const identity = identityIn(word);
    if (identity === undefined) return undefined;
    return new Visitor(party, identity, subjects.homes(word));
  }

  /** Whether what comes back may go there (DO3). */
  isHome(subject: string): boolean {
    if (subject === this.#soundReplyTo) return true;
    if (!this.#homes.some((home) => subject.startsWith(home))) return false;
    this.#soundReplyTo = subject;
    return true;
  }

  /** Whether it may send this envelope, which is sound by itself. */
  maySend(envelope: Envelope): boolean {
    if (envelope.kind !== 'query' && envelope.kind !== 'message') return false;
    if (envelope.extension !== undefined && hasWorkerEntries(envelope.extension)) return false;
    if (!this.#isIdentity(envelope.identity) || !this.isHome(envelope.replyTo)) return false;
    return envelope.kind === 'query' || this.#mayAsk(envelope);
  }

  #isIdentity(identity: string): boolean {
    if (identity === this.#soundIdentity) return true;
    if (this.#identity === undefined ? !isIdentity(identity) : identity !== this.#identity) return false;
    this.#soundIdentity = identity;
    this.#soundFrom = undefined;
    return true;
  }

  #mayAsk({ from, identity, content }: MessageEnvelope): boolean {
    if (from !== this.#soundFrom) {
      if (isEntityPartner(from) || !from.startsWith(`${identityWord(identity)}.`, 1)) return false;
      this.#soundFrom = from;
    }
    if (!(this.#party === 'tool' ? toolKinds : callKinds).has(content.kind)) return false;
    return content.kind !== 'operation' || content.hold === '' || isHoldOf(from, content.hold);
  }
}

/** Visitors that are remembered: when there are more all are met anew. */
const visitorCountMax = 4_096;

/** Who stands at a door, by its subject. Those who came before are known. */
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

/** The id of a hold names who asked for it, so that nobody takes another one's first (DO2). */
function isHoldOf(partner: string, hold: string): boolean {
  return hold === partner || (hold.startsWith(partner) && hold[partner.length] === '.');
}

/** Whether a message between workers can be what it claims: of an entity, or of a client that waits for the answer. */
export function isSoundMessage({ from, replyTo, content }: MessageEnvelope): boolean {
  if (isEntityPartner(from)) return replyTo === '' && entityKinds.has(content.kind);
  return replyTo !== '' && toolKinds.has(content.kind);
}
