/**
 * Coverage: what a run exercised. Which faults it injected, which mechanisms of the code under test ran, and what each
 * fault happened to: a fault that never meets an operation shows nothing about it.
 *
 * Owns the counts and the names of operations. What must not be missing is said by whoever runs many seeds.
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

  /** A fault was injected, and these operations met it. */
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

/** What an envelope is to the application: a call, a message and its answer, the end of a hold, or what streams say. */
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

/** Subjects of envelopes; on the others there are signals. */
const frames = /\.(?:worker|client|call|gate|tool|answers)\.(?!.*\.view$)/;

/** What a frame on this subject carries, each kind once. */
export function operationsOfFrame(subject: string, frame: Uint8Array): Set<string> {
  try {
    if (frames.test(subject)) return new Set(decodeFrame(frame).envelopes.map(operationOf));
    return new Set([decodeControl(frame).kind]);
  } catch {
    return new Set(['what nobody can read']);
  }
}

/** What people call what is written and taken away, by kind; others by the name of their kind. */
const written: Readonly<Record<string, string>> = {
  timers: 'timer',
  holds: 'hold',
  effects: 'effect',
  dead: 'dead letter',
  trials: 'crash note',
  activities: 'activity',
};
const removed: Readonly<Record<string, string>> = {
  outbox: 'acknowledgement',
  timers: 'timer that ended',
  holds: 'hold that ended',
  effects: 'effect that settled',
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

/** The parts that records with these names are. */
export function partsOf(names: Iterable<RecordName>): Set<string> {
  const parts = new Set<string>();
  for (const name of names) parts.add(wordsFor(name, false));
  return parts;
}

/** What commits of a group bring and take away. */
export function operationsOfGroup(group: readonly Commit[]): Set<string> {
  const operations = new Set<string>();
  for (const { records, expected } of group) {
    operations.add(expected === 0 ? 'first commit' : 'commit');
    for (const [name, bytes] of records) operations.add(wordsFor(name, bytes === null));
  }
  return operations;
}
