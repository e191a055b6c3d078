/**
 * Later answers: the value that stands for who asked, and the part of an entity that remembers it until it is answered.
 *
 * Owns their forms, and the check of a value that an application gives back. `answering.ts` takes and answers them in turns.
 */
import { holdIdBytesMax } from './entity.ts';
import { SkerryError } from './errors.ts';
import { type Address, type PartnerId, parseAddress, utf8Length } from './message.ts';

declare const answerType: unique symbol;

/**
 * Stands for the sender of a command that is answered in a later turn. A plain value: keep it in state or activity, or send it to
 * another entity. `turn.answer` and `turn.refuse` use it up.
 */
export interface Later<out Output> {
  /** The address of the entity that accepted the command. */
  readonly at: string;
  readonly id: string;
  /** After this time the answer reaches nobody, ms since 1970. */
  readonly until: number;
  /** For the compiler only: an output of another type does not compile. */
  readonly [answerType]?: Output;
}

/** An accepted command that has no answer yet. */
export interface LaterAnswer {
  readonly id: string;
  /** Who asked; '' is the entity itself. */
  readonly partner: PartnerId;
  readonly operation: string;
  /** Of a client's call: where its answer is kept. 0 and 0 if no client waits. */
  readonly session: number;
  readonly seq: number;
  /** When it was accepted, ms. */
  readonly since: number;
  readonly until: number;
  /** Whether the asking entity has a handler for the answer. */
  readonly wantsAnswer: boolean;
  /** The fingerprint of a request under an idempotency key; else empty. */
  readonly request: Uint8Array;
}

/** Whether a client's call waits for it. */
export function isOfCall({ seq }: LaterAnswer): boolean {
  return seq > 0;
}

/** What the ids of all begin with: a returned value tells what it is. */
const idStart = 'later.';

export function laterId(unique: string): string {
  return idStart + unique;
}

/** Whether a value has the form of one. */
export function isLater(value: unknown): value is Later<unknown> {
  if (typeof value !== 'object' || value === null || !('id' in value) || !('at' in value)) return false;
  const { at, id } = value;
  return typeof at === 'string' && typeof id === 'string' && id.startsWith(idStart);
}

/** Checks a value that may come from an unchecked input. Throws `invalid-input`. */
export function checkedLater(value: Later<unknown>): Later<unknown> {
  if (!isLater(value) || !Number.isFinite(value.until) || utf8Length(value.id) > holdIdBytesMax + idStart.length)
    throw new SkerryError(
      'invalid-input',
      'A later answer must be the value that turn.later() returned: { at, id, until }',
    );
  const at: Address = value.at;
  parseAddress(at);
  return { at, id: value.id, until: value.until };
}
