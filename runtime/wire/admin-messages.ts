/**
 * Asks: what tools ask of a worker about itself, the cluster and the store, and how the answers come back. Positional
 * arrays with a version, like signals, on subjects of their own: who may send there is for the transport's permissions.
 *
 *     ask ─▶ worker ─▶ answer in parts: the first at once, each further one when it is asked for with `more`
 *
 * An ask may be lost or doubled: whoever needs the answer asks again, under the same number, and each ask can be repeated
 * without harm. What asks is `admin/client.ts`, what answers `admin/server.ts`.
 *
 * Invariants:
 * - AK1 What does not decode as an ask or an answer of this version is an error, never half read.
 */
import { type CallEffect, codeOf, isSkerryError, SkerryError, textOf } from '../../core/errors.ts';
import { decode, encode, type Row, rowOf } from './codec.ts';

const askVersion = 1;

export type AdminRequest =
  /** What this worker has and does: `admin/worker-report.ts`. */
  | { readonly kind: 'report' }
  /** The types that it hosts, with their operations: `admin/worker-report.ts`. */
  | { readonly kind: 'types' }
  /** What it has of one entity: its epoch, and whether it is in memory. */
  | { readonly kind: 'entity'; readonly address: string }
  | { readonly kind: 'load'; readonly address: string }
  | {
      readonly kind: 'scan';
      readonly address: string;
      readonly prefix: string;
      readonly after: string;
      readonly limit: number;
    }
  /** Type and address '': from the first of all. */
  | { readonly kind: 'list'; readonly type: string; readonly after: string; readonly limit: number }
  /** Address '': from the first. */
  | {
      readonly kind: 'wakes';
      readonly partition: number;
      readonly wakeAt: number;
      readonly address: string;
      readonly limit: number;
    }
  | { readonly kind: 'epochs'; readonly partitions: readonly number[] }
  /** Worker '': unpin. */
  | { readonly kind: 'pin'; readonly address: string; readonly worker: string }
  /** Hand everything off and end. */
  | { readonly kind: 'leave' }
  /** A further part of the answer to the ask of the same number. */
  | { readonly kind: 'more'; readonly index: number };

const kinds: readonly AdminRequest['kind'][] = [
  'report',
  'types',
  'entity',
  'load',
  'scan',
  'list',
  'wakes',
  'epochs',
  'pin',
  'leave',
  'more',
];

/** An ask on its way: of whom the answer is waited for, and under which number. */
export interface AdminRequestFrame {
  readonly replyTo: string;
  readonly number: number;
  readonly ask: AdminRequest;
}

export function encodeAdminRequest({ replyTo, number, ask }: AdminRequestFrame): Uint8Array {
  return encode([askVersion, replyTo, number, kinds.indexOf(ask.kind), ...columnsOf(ask)]);
}

function columnsOf(ask: AdminRequest): unknown[] {
  switch (ask.kind) {
    case 'report':
    case 'types':
    case 'leave':
      return [];
    case 'entity':
    case 'load':
      return [ask.address];
    case 'scan':
      return [ask.address, ask.prefix, ask.after, ask.limit];
    case 'list':
      return [ask.type, ask.after, ask.limit];
    case 'wakes':
      return [ask.partition, ask.wakeAt, ask.address, ask.limit];
    case 'epochs':
      return [ask.partitions];
    case 'pin':
      return [ask.address, ask.worker];
    case 'more':
      return [ask.index];
  }
}

/** Throws an error that says what is wrong with it (AK1). */
export function decodeAdminRequest(bytes: Uint8Array): AdminRequestFrame {
  const row = versioned(bytes);
  return { replyTo: row.string(), number: row.count(), ask: readAsk(row) };
}

function versioned(bytes: Uint8Array): Row {
  const row = rowOf(bytes);
  const version = row.number();
  if (version !== askVersion) throw new Error(`an admin message of version ${version}, not ${askVersion}`);
  return row;
}

function readAsk(row: Row): AdminRequest {
  const kind = row.oneOf(kinds);
  switch (kind) {
    case 'report':
    case 'types':
    case 'leave':
      return { kind };
    case 'entity':
    case 'load':
      return { kind, address: row.string() };
    case 'scan':
      return { kind, address: row.string(), prefix: row.string(), after: row.string(), limit: row.count() };
    case 'list':
      return { kind, type: row.string(), after: row.string(), limit: row.count() };
    case 'wakes':
      return {
        kind,
        partition: row.count(),
        wakeAt: row.number(),
        address: row.string(),
        limit: row.count(),
      };
    case 'epochs':
      return { kind, partitions: numbersOf(row.any()) };
    case 'pin':
      return { kind, address: row.string(), worker: row.string() };
    case 'more':
      return { kind, index: row.count() };
  }
}

/** A list of whole numbers, or an error. */
export function numbersOf(value: unknown): number[] {
  if (Array.isArray(value) && value.every((one) => Number.isSafeInteger(one))) return value;
  throw new Error('not a list of whole numbers');
}

/** A list of texts, or an error. */
export function textsOf(value: unknown): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new Error('not a list of strings');
}

/** One part of an answer, whose `count` parts in order are the encoded whole. */
/** Bytes of one answer: the largest state, and as much beside it. */
export const answerBytesMax = 33_554_432;

export interface AnswerPart {
  readonly number: number;
  readonly index: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Of a part on the wire, besides its bytes. */
export const partOverheadBytes = 64;

export function encodePart({ number, index, count, bytes }: AnswerPart): Uint8Array {
  return encode([askVersion, number, index, count, bytes]);
}

/** Throws an error that says what is wrong with it (AK1). */
export function decodePart(bytes: Uint8Array): AnswerPart {
  const row = versioned(bytes);
  return { number: row.count(), index: row.count(), count: row.count(), bytes: row.bytes() };
}

/** The whole of an answer, before it is divided: what was asked for, or the error of asking it. */
export function encodeAnswer(value: unknown): Uint8Array {
  return encode(['done', value]);
}

export function encodeFailure(error: unknown): Uint8Array {
  const { code, message, effect } = isSkerryError(error)
    ? error
    : { code: 'failed', message: error instanceof Error ? error.message : String(error), effect: 'unknown' };
  return encode(['failed', code, message, effect]);
}

/** What was asked for. Throws what the worker failed with. */
export function decodeAnswer(bytes: Uint8Array): unknown {
  const row: unknown = decode(bytes);
  const [status, first, message, effect] = Array.isArray(row) ? (row as unknown[]) : [];
  if (status === 'done') return first;
  if (status !== 'failed') throw new Error('an answer of unknown form');
  throw new SkerryError(codeOf(first), textOf(message), {
    effect: (effect === 'unknown' ? 'unknown' : 'none') satisfies CallEffect,
  });
}
