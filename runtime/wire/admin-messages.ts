/**
 * Admin messages: requests of tools to a worker about itself, the cluster and the store, and the answers. They are positional
 * arrays with a version, like control messages, on their own subjects. The transport's permissions decide who may send them.
 *
 *     request ─▶ worker ─▶ answer in parts: the first at once, each further one on a request `more`
 *
 * A request may be lost or duplicated. The client repeats it under the same number, and every request can be repeated safely.
 * `admin/client.ts` sends requests, `admin/server.ts` answers them.
 *
 * Invariants:
 * - AK1 A request or answer that does not decode in this version is rejected with an error, never half read.
 */
import { type CallEffect, codeOf, isSkerryError, SkerryError, textOf } from '../../core/errors.ts';
import { decode, encode, type Row, rowOf } from './codec.ts';

const adminVersion = 1;

export type AdminRequest =
  /** The worker's report: `admin/worker-report.ts`. */
  | { readonly kind: 'report' }
  /** The types that the worker hosts, with their operations: `admin/worker-report.ts`. */
  | { readonly kind: 'types' }
  /** The worker's epoch for one entity, and whether the entity is in its memory. */
  | { readonly kind: 'entity'; readonly address: string }
  | { readonly kind: 'load'; readonly address: string }
  | {
      readonly kind: 'scan';
      readonly address: string;
      readonly prefix: string;
      readonly after: string;
      readonly limit: number;
    }
  /** Type '': all types. After '': from the first address. */
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
  /** Hand everything off and stop. */
  | { readonly kind: 'leave' }
  /** A further part of the answer to the request with the same number. */
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

/** A request with the subject of its answer, and its number. */
export interface AdminRequestFrame {
  readonly replyTo: string;
  readonly number: number;
  readonly request: AdminRequest;
}

export function encodeAdminRequest({ replyTo, number, request }: AdminRequestFrame): Uint8Array {
  return encode([adminVersion, replyTo, number, kinds.indexOf(request.kind), ...columnsOf(request)]);
}

function columnsOf(request: AdminRequest): unknown[] {
  switch (request.kind) {
    case 'report':
    case 'types':
    case 'leave':
      return [];
    case 'entity':
    case 'load':
      return [request.address];
    case 'scan':
      return [request.address, request.prefix, request.after, request.limit];
    case 'list':
      return [request.type, request.after, request.limit];
    case 'wakes':
      return [request.partition, request.wakeAt, request.address, request.limit];
    case 'epochs':
      return [request.partitions];
    case 'pin':
      return [request.address, request.worker];
    case 'more':
      return [request.index];
  }
}

/** Throws an error that says what is wrong with the bytes (AK1). */
export function decodeAdminRequest(bytes: Uint8Array): AdminRequestFrame {
  const row = versioned(bytes);
  return { replyTo: row.string(), number: row.count(), request: readRequest(row) };
}

function versioned(bytes: Uint8Array): Row {
  const row = rowOf(bytes);
  const version = row.number();
  if (version !== adminVersion) throw new Error(`an admin message of version ${version}, not ${adminVersion}`);
  return row;
}

function readRequest(row: Row): AdminRequest {
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

/** The value as a list of whole numbers. Throws if it is not one. */
export function numbersOf(value: unknown): number[] {
  if (Array.isArray(value) && value.every((one) => Number.isSafeInteger(one))) return value;
  throw new Error('not a list of whole numbers');
}

/** The value as a list of texts. Throws if it is not one. */
export function textsOf(value: unknown): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new Error('not a list of strings');
}

/** Most bytes of one answer: twice the largest state. */
export const answerBytesMax = 33_554_432;

/** One part of an answer. Its `count` parts in order are the encoded answer. */
export interface AnswerPart {
  readonly number: number;
  readonly index: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Most bytes of a part on the wire beside its content. */
export const partOverheadBytes = 64;

export function encodePart({ number, index, count, bytes }: AnswerPart): Uint8Array {
  return encode([adminVersion, number, index, count, bytes]);
}

/** Throws an error that says what is wrong with the bytes (AK1). */
export function decodePart(bytes: Uint8Array): AnswerPart {
  const row = versioned(bytes);
  return { number: row.count(), index: row.count(), count: row.count(), bytes: row.bytes() };
}

/** Encodes the value that a request asked for, before it is divided into parts. */
export function encodeAnswer(value: unknown): Uint8Array {
  return encode(['done', value]);
}

export function encodeFailure(error: unknown): Uint8Array {
  const { code, message, effect } = isSkerryError(error)
    ? error
    : { code: 'failed', message: error instanceof Error ? error.message : String(error), effect: 'unknown' };
  return encode(['failed', code, message, effect]);
}

/** The value that was requested. Throws the worker's error. */
export function decodeAnswer(bytes: Uint8Array): unknown {
  const row: unknown = decode(bytes);
  const [status, first, message, effect] = Array.isArray(row) ? (row as unknown[]) : [];
  if (status === 'done') return first;
  if (status !== 'failed') throw new Error('an answer of unknown form');
  throw new SkerryError(codeOf(first), textOf(message), {
    effect: (effect === 'unknown' ? 'unknown' : 'none') satisfies CallEffect,
  });
}
