/**
 * Addresses of entities and names of partners.
 *
 * An address is `type/key`: the type is `[a-z][a-z0-9-]*`, the key any well-formed Unicode of 1 to 512 UTF-8 bytes
 * (dots, spaces, wildcards, slashes and NUL included), so the first slash divides them.
 * A partner is one end of a stream: an entity (its address), a client (`@identity.id`), or an idempotency key
 * (`#identity.key`); the first character tells, since no type starts with `@` or `#`. The identity is in the name so that
 * nobody can be, or use first, what is another one's.
 *
 * Invariants:
 * - AD1 Two identities never have a partner's name in common, and whose it is can be read from it.
 */
import { SkerryError } from './errors.ts';
import { defaultLimits } from './limits.ts';

export type Address = string;
export type PartnerId = string;

const typePattern = /^[a-z][a-z0-9-]{0,63}$/;
const utf8 = new TextEncoder();
/** Has room for a key that is too long by a character. */
const scratch = new Uint8Array(defaultLimits.keyBytesMax + 4);

export function isTypeName(type: string): boolean {
  return typePattern.test(type);
}

/** Whether a string takes more UTF-8 bytes than a key may. */
function isTooLong(key: string): boolean {
  const { keyBytesMax } = defaultLimits;
  // A unit of a string takes three bytes at most.
  if (key.length * 3 <= keyBytesMax) return false;
  return key.length > keyBytesMax || utf8.encodeInto(key, scratch).written > keyBytesMax;
}

/** Bytes that a text takes as UTF-8. */
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

/** Checks an address that came from outside. Throws `invalid-address`. */
export function parseAddress(address: string): { type: string; key: string } {
  const slash = typeof address === 'string' ? address.indexOf('/') : -1;
  if (slash < 0)
    throw new SkerryError('invalid-address', `'${String(address)}' is not an address: write type/key, as in stock/tea`);
  const type = address.slice(0, slash);
  const key = address.slice(slash + 1);
  addressOf(type, key);
  return { type, key };
}

/** Type and slash of the last address that was one: of most entities' messages that of the next. */
let knownStart = '';

/** Whether a text that came from outside is an address. */
export function isAddress(text: string): boolean {
  if (knownStart === '' || !text.startsWith(knownStart)) {
    const slash = text.indexOf('/');
    if (slash <= 0 || !isTypeName(text.slice(0, slash))) return false;
    knownStart = text.slice(0, slash + 1);
  }
  return keyProblem(text.slice(knownStart.length)) === undefined;
}

/** Whether a text that came from outside names a partner: an entity, a client or an idempotency key. */
export function isPartner(text: string): boolean {
  if (isAddress(text)) return true;
  return text.length > 1 && !isEntityPartner(text) && text.isWellFormed() && !isTooLong(text);
}

/** The type of an address that is known to be one. */
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

/** Whether a text may be a client's identity: well-formed Unicode, short enough as a word; '' is who has none. */
export function isIdentity(text: string): boolean {
  const { identityBytesMax } = defaultLimits;
  return text.length <= identityBytesMax && text.isWellFormed() && identityWord(text).length <= identityBytesMax;
}

/** An identity as one word: letters of ASCII, digits, _ and - as they are, of all else each byte of UTF-8 as `=` and two digits. */
export function identityWord(identity: string): string {
  if (/^[\w-]*$/.test(identity)) return identity;
  return identity.replace(/[^\w-]/gu, (character) =>
    [...utf8.encode(character)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

/** The identity that this word stands for; undefined if it stands for none. */
export function identityOfWord(word: string): string | undefined {
  if (word.length > defaultLimits.identityBytesMax || !/^(?:[\w-]|=[0-9a-f]{2})*$/.test(word)) return undefined;
  if (!word.includes('=')) return word;
  const bytes = Uint8Array.from(word.match(/=..|./g) ?? [], (part) =>
    part.length === 1 ? part.charCodeAt(0) : Number.parseInt(part.slice(1), 16),
  );
  const identity = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  return identityWord(identity) === word ? identity : undefined;
}

/** A client as a partner. */
export function clientPartner(identity: string, id: string): PartnerId {
  return `@${identityWord(identity)}.${id}`;
}

/** The partner that an idempotency key of this identity is (AD1); a hold that is asked for under the key has this name too. */
export function keyPartner(identity: string, key: string): PartnerId {
  return `#${identityWord(identity)}.${key}`;
}

/** Whose partner that is no entity is, and which of his: a client's id, or a key. Records from before have no identity in it. */
export function clientOf(partner: PartnerId): { readonly identity: string; readonly id: string } {
  const end = partner.indexOf('.');
  const identity = end < 0 ? undefined : identityOfWord(partner.slice(1, end));
  return identity === undefined ? { identity: '', id: partner.slice(1) } : { identity, id: partner.slice(end + 1) };
}
