/** Rows for messages, shared by several commands: a message's payload, and its operation. Pure. */
import type { Content } from '../../core/activity.ts';
import { readRow } from '../../core/perform.ts';
import type { AnswerRow } from '../../core/request.ts';
import { decode } from '../wire/codec.ts';
import { jsonText } from './json.ts';

/** What was encoded; undefined where there was nothing, a note where it cannot be read. */
export function payloadValue(payload: Uint8Array): unknown {
  if (payload.length === 0) return undefined;
  try {
    return decode(payload);
  } catch {
    return { unreadable: payload };
  }
}

/** An input as it was, an answer as its status and what comes with it. */
export function payloadText(payload: Uint8Array, kind: string): string {
  const value = payloadValue(payload);
  if (value === undefined) return '';
  const row = kind === 'answer' ? rowIn(value) : undefined;
  if (row === undefined) return jsonText(value);
  const [status, ...rest] = row;
  // What comes second of an acceptance is the end of its hold.
  return [
    status,
    ...(status === 'accepted' ? rest.slice(0, 1) : rest)
      .filter((part) => part !== undefined && part !== null)
      .map(jsonText),
  ].join(' ');
}

/** A dead letter may be one because its answer is of no form that is known. */
function rowIn(value: unknown): AnswerRow | undefined {
  try {
    return readRow(value);
  } catch {
    return undefined;
  }
}

/** `reserve`, `confirm reserve`, `answer to reserve`. */
export function askedText({ kind, operation }: Content): string {
  if (kind === 'operation') return operation;
  return kind === 'answer' ? `answer to ${operation}` : `${kind} ${operation}`.trim();
}

export function contentText(content: Content): string {
  return `${askedText(content)} ${payloadText(content.payload, content.kind)}`.trim();
}

export function contentValue({ kind, operation, payload, hold }: Content): object {
  return { kind, operation, input: payloadValue(payload), hold: hold === '' ? undefined : hold };
}
