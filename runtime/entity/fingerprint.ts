/**
 * What tells one request from another under an idempotency key: a digest of its kind, operation, hold and input.
 *
 * Owns which requests are the same. Two inputs are when they hold the same data: the order of their properties and
 * properties that are `undefined` do not count, since two versions of a caller's code may write them differently.
 */
import { createHash } from 'node:crypto';
import type { Content } from '../../core/activity.ts';
import { SkerryError } from '../../core/errors.ts';
import { type Address, clientOf, type PartnerId } from '../../core/message.ts';
import { isFarIndex, scatter } from '../../core/storable.ts';
import { decode, encode } from '../wire/codec.ts';

/** Bytes of a fingerprint: no two requests that anybody makes have the same. */
const fingerprintBytes = 16;

export function fingerprintOf(content: Content): Uint8Array {
  const whole = canonical(content);
  return new Uint8Array(createHash('sha256').update(whole).digest().subarray(0, fingerprintBytes));
}

/** Whether it is the fingerprint of this one. */
export function isRequest(fingerprint: Uint8Array, content: Content): boolean {
  return Buffer.compare(fingerprint, fingerprintOf(content)) === 0;
}

/** What a call is told whose key is another request's: of that only that it is another one. */
export function otherRequest({ from, to }: { readonly from: PartnerId; readonly to: Address }): SkerryError {
  return new SkerryError(
    'invalid-input',
    `The idempotency key '${clientOf(from).id}' belongs to a different request at ${to}: a key stands for one operation with one input`,
  );
}

/** A request with its input as data in one order; bytes that are no data stand for themselves. */
function canonical({ kind, operation, hold, payload }: Content): Uint8Array {
  if (payload.length === 0) return encode([kind, operation, hold, []]);
  try {
    return encode([kind, operation, hold, [sorted(decode(payload))]]);
  } catch {
    return encode([kind, operation, hold, [payload, 'undecoded']]);
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  // By code units: the same on every machine, whatever its language.
  entries.sort(([one], [other]) => (one < other ? -1 : 1));
  // Objects again, and not lists of pairs: they are as deep as the input was.
  const fields: Record<string, unknown> = {};
  for (const [index, [name, part]] of entries.entries()) {
    if (isFarIndex(name, index)) scatter(fields);
    fields[name] = sorted(part);
  }
  return fields;
}
