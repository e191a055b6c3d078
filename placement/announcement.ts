/**
 * Announcements: untrusted entries of workers. Owns the check whether one is valid; `service.ts` decides whether to accept it.
 *
 * Invariants:
 * - AN1 An invalid entry is rejected: texts are ASCII of their kind, counts and lengths are bounded, labels are sorted.
 */
import { isTypeName } from '../core/message.ts';
import type { PlacementLimits } from './limits.ts';
import { weightMax } from './rendezvous.ts';
import { type HostedType, protocolOf, type WorkerEntry } from './view.ts';

/** Names and ids become parts of subjects. */
const idPattern = /^[A-Za-z0-9_-]+$/;
/** Every language sorts and encodes these characters alike, and none of them separates names in a hash. */
const namePattern = /^[A-Za-z0-9._-]+$/;
const labelPattern = /^[A-Za-z0-9._=:/-]+$/;
/** Any printable ASCII, for people to read. */
const versionPattern = /^[\x20-\x7e]*$/;

export function isWorkerName(text: string): boolean {
  return namePattern.test(text);
}

export function isWorkerId(text: string): boolean {
  return idPattern.test(text);
}

/** Whether an untrusted value is a worker's entry within the limits. */
export function isSoundEntry(entry: WorkerEntry, limits: PlacementLimits): boolean {
  const lengthMax = limits.workerNameLengthMax;
  return (
    matches(entry.name, namePattern, lengthMax) &&
    matches(entry.id, idPattern, lengthMax) &&
    matches(entry.version, versionPattern, lengthMax) &&
    Number.isInteger(entry.weight) &&
    entry.weight >= 1 &&
    entry.weight <= weightMax &&
    typeof entry.isLeaving === 'boolean' &&
    isProtocol(entry) &&
    areLabels(entry.labels, limits) &&
    areTypes(entry.types, limits)
  );
}

/** Whether two entries of one worker are equal. */
export function isSameEntry(one: WorkerEntry, other: WorkerEntry): boolean {
  return (
    one.name === other.name &&
    one.id === other.id &&
    one.weight === other.weight &&
    one.version === other.version &&
    one.isLeaving === other.isLeaving &&
    isSameProtocol(one, other) &&
    isSameList(one.labels, other.labels) &&
    one.types.length === other.types.length &&
    one.types.every((hosted, index) => isSameType(hosted, other.types[index] as HostedType))
  );
}

function matches(text: unknown, pattern: RegExp, lengthMax: number): boolean {
  return typeof text === 'string' && text.length <= lengthMax && pattern.test(text);
}

function areLabels(labels: unknown, limits: PlacementLimits): boolean {
  if (!Array.isArray(labels) || labels.length > limits.labelCountMax) return false;
  return labels.every((label) => matches(label, labelPattern, limits.workerNameLengthMax)) && isRising(labels);
}

function areTypes(types: unknown, limits: PlacementLimits): boolean {
  if (!Array.isArray(types) || types.length > limits.hostedTypeCountMax) return false;
  // A pattern would match undefined as the text 'undefined'.
  const areHosted = types.every(
    (one) => typeof one?.type === 'string' && isTypeName(one.type) && areLabels(one.labels, limits),
  );
  return areHosted && new Set(types.map(({ type }) => type)).size === types.length;
}

function isProtocol(entry: WorkerEntry): boolean {
  const { from, to } = protocolOf(entry);
  return Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 1 && to >= from;
}

function isSameProtocol(one: WorkerEntry, other: WorkerEntry): boolean {
  const { from, to } = protocolOf(one);
  const second = protocolOf(other);
  return from === second.from && to === second.to;
}

function isRising(texts: readonly string[]): boolean {
  return texts.every((text, index) => index === 0 || text > (texts[index - 1] as string));
}

function isSameType(one: HostedType, other: HostedType): boolean {
  return one.type === other.type && isSameList(one.labels, other.labels);
}

function isSameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
