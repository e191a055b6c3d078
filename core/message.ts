/**
 * Addresses of entities and names of partners.
 *
 * An address is `type/key`. The type matches `[a-z][a-z0-9-]*`; the key is any well-formed Unicode of 1 to 512 UTF-8 bytes,
 * including dots, spaces, wildcards, slashes and NUL. The first slash separates them.
 *
 * A partner is one end of a stream: an entity (its address), a client (`@identity.id`), or an idempotency key
 * (`#identity.key`). The first character distinguishes them, because no type starts with `@` or `#`. The name contains the
 * identity so that one identity cannot use the client id or key of another.
 *
 * Invariants:
 * - AD1 Two identities never share the name of a partner, and the name tells its identity.
 */
import { SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';

export type Address = string;
export type PartnerId = string;

const typePattern = /^[a-z][a-z0-9-]{0,63}$/;
const utf8 = new TextEncoder();
/** Large enough for a key that is one character too long. */
const scratch = new Uint8Array(defaultLimits.keyBytesMax + 4);

export function isTypeName(type: string): boolean {
  return typePattern.test(type);
}

/** Whether a string has more UTF-8 bytes than a key may have. */
function isTooLong(key: string): boolean {
  const { keyBytesMax } = defaultLimits;
  // A UTF-16 unit takes at most three bytes.
  if (key.length * 3 <= keyBytesMax) return false;
  return key.length > keyBytesMax || utf8.encodeInto(key, scratch).written > keyBytesMax;
}

/** Length of a text in UTF-8 bytes. */
export function utf8Length(text: string): number {
  return utf8.encode(text).length;
}

/** The address of an entity. Throws `invalid-address`. */
export function addressOf(type: string, key: string): Address {
  if (!isTypeName(type))
    throw new SkerryError(
      'invalid-address',
      `'${type}' is not an entity type: lower-case letters, digits and '-', at most 64`,
    );
  const problem = keyProblem(key);
  if (problem !== undefined) throw new SkerryError('invalid-address', `The key of a '${type}' ${problem}`);
  return `${type}/${key}`;
}

function keyProblem(key: unknown): string | undefined {
  if (typeof key !== 'string') return `must be a string, not ${typeof key}`;
  if (key.length === 0) return 'must not be empty';
  if (isTooLong(key)) return `is longer than ${defaultLimits.keyBytesMax} bytes (keyBytesMax)`;
  return key.isWellFormed() ? undefined : 'is not well-formed Unicode (a lone surrogate)';
}

/** Parses and checks an untrusted address. Throws `invalid-address`. */
export function parseAddress(address: string): { type: string; key: string } {
  const slash = typeof address === 'string' ? address.indexOf('/') : -1;
  if (slash < 0)
    throw new SkerryError('invalid-address', `'${String(address)}' is not an address: write type/key, as in stock/tea`);
  const type = address.slice(0, slash);
  const key = address.slice(slash + 1);
  addressOf(type, key);
  return { type, key };
}

/** Type and slash of the last valid address. Successive addresses mostly have the same type, so the check is skipped. */
let knownStart = '';

/** Whether an untrusted text is an address. */
export function isAddress(text: string): boolean {
  if (knownStart === '' || !text.startsWith(knownStart)) {
    const slash = text.indexOf('/');
    if (slash <= 0 || !isTypeName(text.slice(0, slash))) return false;
    knownStart = text.slice(0, slash + 1);
  }
  return keyProblem(text.slice(knownStart.length)) === undefined;
}

/** Whether an untrusted text names a partner: an entity, a client or an idempotency key. */
export function isPartner(text: string): boolean {
  if (isAddress(text)) return true;
  return text.length > 1 && !isEntityPartner(text) && text.isWellFormed() && !isTooLong(text);
}

/** The type of a valid address. */
export function typeOf(address: Address): string {
  return address.slice(0, address.indexOf('/'));
}

export function keyOf(address: Address): string {
  return address.slice(address.indexOf('/') + 1);
}

export function isKeyPartner(partner: PartnerId): boolean {
  return partner.charCodeAt(0) === 35;
}

export function isEntityPartner(partner: PartnerId): boolean {
  return partner.charCodeAt(0) !== 64 && partner.charCodeAt(0) !== 35;
}

// ---- identities of clients

/** Whether a text is a valid identity: well-formed Unicode, short enough as a word. '' means no identity. */
export function isIdentity(text: string): boolean {
  const { identityBytesMax } = defaultLimits;
  return text.length <= identityBytesMax && text.isWellFormed() && identityWord(text).length <= identityBytesMax;
}

/** An identity as one subject word. ASCII letters, digits, _ and - stay; every other UTF-8 byte becomes `=` and two hex digits. */
export function identityWord(identity: string): string {
  if (/^[\w-]*$/.test(identity)) return identity;
  return identity.replace(/[^\w-]/gu, (character) =>
    [...utf8.encode(character)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

/** The identity that a subject word encodes; undefined if it is not one. */
export function identityOfWord(word: string): string | undefined {
  if (word.length > defaultLimits.identityBytesMax || !/^(?:[\w-]|=[0-9a-f]{2})*$/.test(word)) return undefined;
  if (!word.includes('=')) return word;
  const bytes = Uint8Array.from(word.match(/=..|./g) ?? [], (part) =>
    part.length === 1 ? part.charCodeAt(0) : Number.parseInt(part.slice(1), 16),
  );
  const identity = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  return identityWord(identity) === word ? identity : undefined;
}

/** The partner name of a client. */
export function clientPartner(identity: string, id: string): PartnerId {
  return `@${identityWord(identity)}.${id}`;
}

/** The partner name of an idempotency key of this identity (AD1). It is also the id of a hold made under the key. */
export function keyPartner(identity: string, key: string): PartnerId {
  return `#${identityWord(identity)}.${key}`;
}

/** The identity of a partner that is not an entity, and its client id or key. Names in older records have no identity. */
export function clientOf(partner: PartnerId): { readonly identity: string; readonly id: string } {
  const end = partner.indexOf('.');
  const identity = end < 0 ? undefined : identityOfWord(partner.slice(1, end));
  return identity === undefined ? { identity: '', id: partner.slice(1) } : { identity, id: partner.slice(end + 1) };
}
