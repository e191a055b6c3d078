/**
 * Coverage of a run: the injected faults, the mechanisms of the code under test that ran, and the operations that each fault
 * met. A fault that never meets an operation shows nothing about it.
 *
 * Owns the counts and the names of operations. The runner of many seeds decides what must be covered.
 */

import { kindIn } from '../../core/record.ts';
import type { Commit, RecordName } from '../store.ts';
import { decodeFrame } from '../wire/codec.ts';
import { decodeControl } from '../wire/control-messages.ts';
import type { Envelope } from '../wire/envelope.ts';

export type Counts = Record<string, number>;

const nothing: readonly string[] = [];

export class Coverage {
  readonly faults: Counts = {};
  /** By `operation × fault`. */
  readonly pairs: Counts = {};
  readonly mechanisms: Counts = {};

  /** A fault was injected, and met these operations. */
  fault(kind: string, operations: Iterable<string> = nothing): void {
    count(this.faults, kind);
    for (const operation of operations) count(this.pairs, `${operation} × ${kind}`);
  }

  mechanism(name: string): void {
    count(this.mechanisms, name);
  }
}

function count(counts: Counts, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** The meaning of an envelope to the application: a call, a message, its answer, the end of a hold, or stream control. */
export function operationOf(envelope: Envelope): string {
  switch (envelope.kind) {
    case 'message':
      if (envelope.content.kind !== 'operation') return envelope.content.kind;
      return envelope.replyTo === '' ? 'message' : 'call';
    case 'reply':
      return `reply ${envelope.status}`;
    default:
      return envelope.kind;
  }
}

/** Subjects of envelopes; all others carry control messages. */
const frames = /\.(?:worker|client|call|gate|tool|answers)\.(?!.*\.view$)/;

/** The kinds of operations in a frame on this subject, each once. */
export function operationsOfFrame(subject: string, frame: Uint8Array): Set<string> {
  try {
    if (frames.test(subject)) return new Set(decodeFrame(frame).envelopes.map(operationOf));
    return new Set([decodeControl(frame).kind]);
  } catch {
    return new Set(['what nobody can read']);
  }
}

/** Names of the parts that are written and removed; other parts are named by their kind. */
const written: Readonly<Record<string, string>> = {
  timers: 'timer',
  holds: 'hold',
  effects: 'effect',
  later: 'later answer that is open',
  dead: 'dead letter',
  trials: 'crash note',
  activities: 'activity',
};
const removed: Readonly<Record<string, string>> = {
  outbox: 'acknowledgement',
  timers: 'timer that ended',
  holds: 'hold that ended',
  effects: 'effect that settled',
  later: 'later answer that was given or ended',
  dead: 'dead letter that is resolved',
  trials: 'crash note that went',
  history: 'history that is trimmed',
  snapshot: 'snapshot that is small enough for a head',
  patch: 'patches that are folded',
  activities: 'activity that is forgotten',
};

function wordsFor(name: RecordName, isRemoved: boolean): string {
  const kind = kindIn(name) ?? 'unknown';
  return isRemoved ? (removed[kind] ?? `${kind} that went`) : (written[kind] ?? kind);
}

/** The parts that records with these names belong to. */
export function partsOf(names: Iterable<RecordName>): Set<string> {
  const parts = new Set<string>();
  for (const name of names) parts.add(wordsFor(name, false));
  return parts;
}

/** The parts that the commits of a group write and remove. */
export function operationsOfGroup(group: readonly Commit[]): Set<string> {
  const operations = new Set<string>();
  for (const { records, expected } of group) {
    operations.add(expected === 0 ? 'first commit' : 'commit');
    for (const [name, bytes] of records) operations.add(wordsFor(name, bytes === null));
  }
  return operations;
}
