/**
 * The fingerprint of a request under an idempotency key: a digest of its kind, operation, hold and input.
 *
 * Owns the equality of requests. Two inputs are equal if they have the same data. The order of properties, and properties that
 * are `undefined`, do not count, because two versions of a caller's code may write them differently.
 */
import { createHash } from 'node:crypto';
import type { Content } from '../../core/activity.ts';
import { SkerryError } from '../../core/errors.ts';
import { type Address, clientOf, type PartnerId } from '../../core/message.ts';
import { isFarIndex, scatter } from '../../core/storable.ts';
import { decode, encode } from '../wire/codec.ts';

/** Bytes of a fingerprint: enough that two different requests never collide. */
const fingerprintBytes = 16;

export function fingerprintOf(content: Content): Uint8Array {
  const whole = canonical(content);
  return new Uint8Array(createHash('sha256').update(whole).digest().subarray(0, fingerprintBytes));
}

/** Whether it is the fingerprint of this request. */
export function isRequest(fingerprint: Uint8Array, content: Content): boolean {
  return Buffer.compare(fingerprint, fingerprintOf(content)) === 0;
}

/** The error of a call whose key belongs to another request. It says nothing else about that request. */
export function otherRequest({ from, to }: { readonly from: PartnerId; readonly to: Address }): SkerryError {
  return new SkerryError(
    'invalid-input',
    `The idempotency key '${clientOf(from).id}' belongs to a different request at ${to}: a key stands for one operation with one input`,
  );
}

/** A request with its input in canonical order. Bytes that are not valid data stand for themselves. */
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
  // By code units, which is the same on every machine, whatever its locale.
  entries.sort(([one], [other]) => (one < other ? -1 : 1));
  // Objects again, not lists of pairs, so that the result is as deep as the input.
  const fields: Record<string, unknown> = {};
  for (const [index, [name, part]] of entries.entries()) {
    if (isFarIndex(name, index)) scatter(fields);
    fields[name] = sorted(part);
  }
  return fields;
}
