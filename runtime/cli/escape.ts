/**
 * Addresses and other text from outside as text on a terminal, and back: what cannot be seen is written as an escape,
 * so that no key hides, moves the cursor, or looks like another, and what was printed can be given as an argument again.
 *
 *     \\  \n  \r  \t  \0  \xHH  \u{H…}      and a space at either end as \x20
 */
import { type Address, addressOf, clientOf, isEntityPartner, keyOf, typeOf } from '../../core/message.ts';
import { CliError } from './failure.ts';

const short: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' };
const long: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r', t: '\t', 0: '\0' };

/** Controls, format characters (bidi overrides, joiners), unassigned, and every space that is not the plain one. */
const unseen = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
const unseenOrBackslash = /[\p{C}\p{Zl}\p{Zp}\\]|(?! )\p{Zs}|^ | $/gu;

/** A key or address, unambiguous: `unescapeText` gives it back. */
export function escapeText(text: string): string {
  return text.replace(unseenOrBackslash, escapeOne);
}

/** Text that is only to be read, such as an error's message: backslashes stay as they are. */
export function visible(text: string): string {
  return text.replace(unseen, escapeOne);
}

function escapeOne(character: string): string {
  const named = short[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** The text behind its escapes. Throws a usage error for what is no escape. */
export function unescapeText(text: string): string {
  return text.replace(
    /\\(?:([\\nrt0])|x([\da-f]{2})|u\{([\da-f]{1,6})\}|u([\da-f]{4})|)/gi,
    (all, letter?: string, ...codes: (string | undefined)[]) => {
      if (letter !== undefined) return long[letter.toLowerCase()] ?? letter;
      const digits = codes.slice(0, 3).find((code) => typeof code === 'string');
      const code = digits === undefined ? Number.NaN : Number.parseInt(digits, 16);
      if (code <= 0x10ffff) return String.fromCodePoint(code);
      const shown = all === '\\' ? 'a single backslash' : `'${all}'`;
      throw new CliError('usage', `${shown} in '${text}' is not an escape`, {
        advice: 'write \\\\ for a backslash; the escapes are \\\\ \\n \\r \\t \\0 \\xHH \\u{H}',
      });
    },
  );
}

/** An address, unambiguous: `addressArgument` gives it back. */
export function addressText(address: Address): string {
  return `${typeOf(address)}/${escapeText(keyOf(address))}`;
}

/** The address that an argument means. */
export function addressArgument(text: string): Address {
  const slash = text.indexOf('/');
  if (slash < 0)
    throw new CliError('usage', `'${text}' is not an address`, { advice: 'write type/key, as in stock/tea' });
  return addressOf(text.slice(0, slash), unescapeText(text.slice(slash + 1)));
}

/** Who a partner is, for people: of a client's id, which is random, the start. */
export function partnerText(partner: string): string {
  if (partner === '') return 'itself';
  if (isEntityPartner(partner)) return addressText(partner);
  const { identity, id } = clientOf(partner);
  const whose = identity === '' ? '' : ` of ${visible(identity)}`;
  return partner.startsWith('@')
    ? `client ${visible(id.slice(0, 6))}${whose}`
    : `idempotency key ${escapeText(id)}${whose}`;
}

/** A text as one word of a shell's command line. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
