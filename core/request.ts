/**
 * What asks an entity for a turn, what a turn is given besides, the form of its answer, and the two ways out of a
 * handler that are no errors.
 */
import type { Arrival, Content } from './activity.ts';
import type { EffectOutcome } from './effect.ts';
import { SkerryError } from './errors.ts';
import type { Limits } from './limits.ts';
import type { PartnerId } from './message.ts';
import { type AnyOperation, declaredOutput } from './operation.ts';
import type { TableName } from './record.ts';
import { storable } from './storable.ts';

export interface TurnEnvironment {
  readonly now: number;
  readonly random: () => number;
  readonly encode: (value: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Tells requests apart that come under one idempotency key. Never throws. */
  readonly fingerprint: (content: Content) => Uint8Array;
  readonly limits: Limits;
  /** Told what a query threw: its answer has no stack. */
  readonly threw?: (error: unknown) => void;
}

/** What asks for a turn. */
export type Request =
  | { readonly kind: 'message'; readonly partner: PartnerId; readonly arrival: Arrival; readonly content: Content }
  /** The date of a part has come (`turn-parts.ts`). */
  | { readonly kind: 'due'; readonly part: TableName; readonly id: string }
  | { readonly kind: 'effect'; readonly id: string; readonly outcome: EffectOutcome<unknown> };

/** An answer on its way: status, then output; or reason and detail; or code and message. */
export type AnswerRow = readonly [status: string, first?: unknown, second?: unknown];

/** The handler declined; not an error. */
export class Refusal {
  readonly reason: string;
  readonly detail: unknown;
  constructor(reason: string, detail: unknown) {
    this.reason = reason;
    this.detail = detail;
  }
}

/** An operation declines. Throws `unstorable` if what goes with it cannot be sent. */
export function refusalOf(reason: string, detail: unknown, { messageBytesMax }: Limits): Refusal {
  return new Refusal(
    String(reason),
    detail === undefined ? undefined : storable(detail, 'detail of the refusal', messageBytesMax),
  );
}

/** The turn needs the activity with a partner that is still in the store: load it and run the turn again. */
export class NeedActivity {
  readonly partner: PartnerId;
  constructor(partner: PartnerId) {
    this.partner = partner;
  }
}

/** The message that brings an answer back to the entity that asked. */
export function answerContent({ operation, hold }: Pick<Content, 'operation' | 'hold'>, answer: Uint8Array): Content {
  return { kind: 'answer', operation, payload: answer, hold, wantsAnswer: false };
}

/**
 * A turn is synchronous: a promise as its output is a mistake that must not be stored as `{}`. Of an operation's output only
 * what its contract declares goes on.
 */
export function outputOf(
  output: unknown,
  operation: string,
  { messageBytesMax }: Limits,
  declared?: AnyOperation,
): unknown {
  if (output instanceof Promise) {
    output.catch(() => undefined);
    throw new SkerryError(
      'invalid-definition',
      `'${operation}' returned a promise: a turn is synchronous; use an effect for asynchronous work`,
    );
  }
  const cut = declared === undefined ? output : declaredOutput(declared, output, operation);
  return cut === undefined ? undefined : storable(cut, 'output', messageBytesMax);
}

/** Throws `too-large` for an answer that no message can carry. */
export function encodeAnswer(row: AnswerRow, { encode, limits: { messageBytesMax } }: TurnEnvironment): Uint8Array {
  const bytes = encode(row);
  if (bytes.length > messageBytesMax)
    throw new SkerryError('too-large', `The answer takes ${bytes.length} bytes; messageBytesMax is ${messageBytesMax}`);
  return bytes;
}
