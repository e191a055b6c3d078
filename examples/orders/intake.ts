/**
 * The intake: applies lines of input to the entities, many at once, and remembers how far it got.
 *
 * A line has its effect once, however often it is applied: its id is the call's idempotency key. So the intake's own
 * memory only saves time after an interruption, and may lag behind what was applied; it must never run ahead.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { behaviour } from '../../core/index.ts';
import type { Cluster } from '../../runtime/index.ts';
import { untilTold } from '../runner/told.ts';
import { type Ending, Intake, Order, Stock } from './contracts.ts';
import type { Ledger, Line } from './lines.ts';

export const intake = behaviour(Intake, {
  open({ state }) {
    state.opened += 1;
    return state.through;
  },
  reached({ state }, { line }) {
    state.through = Math.max(state.through, line);
  },
});

/** Lines under way at once; also how many are applied between two notes of how far it got. */
const groupSize = 256;
/** How long after its last appearance a line is still known for the same. */
const keyLifeMs = 30 * 24 * 60 * 60 * 1000;

export interface Source {
  /** Changes with the content: an edited file is another source, of which nothing is applied yet. */
  readonly name: string;
  /** How many lines it has; undefined for a pipe. */
  readonly lineCount: number | undefined;
  readonly stream: Readable;
}

/** A file, or `-` for what is piped in. Rejects as the file system does. */
export async function openSource(input: string): Promise<Source> {
  const pipeName = `pipe-${new Date().toISOString()}-${process.pid}`;
  if (input === '-') return { name: pipeName, lineCount: undefined, stream: process.stdin };
  const kind = await stat(input);
  if (kind.isDirectory()) throw new Error('it is a folder');
  // A named pipe can be read only once.
  if (!kind.isFile()) return { name: pipeName, lineCount: undefined, stream: createReadStream(input) };

  const digest = createHash('sha256');
  let lineCount = 0;
  for await (const bytes of createReadStream(input) as AsyncIterable<Buffer>) {
    digest.update(bytes);
    for (const byte of bytes) if (byte === 10) lineCount += 1;
  }
  return {
    name: `${basename(input).slice(0, 100)}-${digest.digest('hex').slice(0, 16)}`,
    lineCount,
    stream: createReadStream(input),
  };
}

export interface Listener {
  resumed(line: number): void;
  malformed(line: number, reason: string): void;
  reached(line: number): void;
}

/** Applies every line of a source that is not known to be applied. Rejects when the signal says to stop. */
export async function takeIn(
  cluster: Cluster,
  source: Source,
  options: { ledger: Ledger; listener: Listener; signal: AbortSignal },
): Promise<void> {
  const { ledger, listener, signal } = options;
  const memory = cluster.entity(Intake, source.name);
  const applied = await memory.open();
  if (applied > 0) listener.resumed(applied);

  let number = 0;
  let group: Line[] = [];
  const applyGroup = async () => {
    signal.throwIfAborted();
    await Promise.all(group.map((line) => untilTold(() => apply(cluster, line), signal)));
    if (group.length > 0) await memory.reached({ line: number });
    group = [];
    listener.reached(number);
  };
  for await (const text of createInterface({ input: source.stream, crlfDelay: Number.POSITIVE_INFINITY, signal })) {
    number += 1;
    if (text.trim() === '') continue;
    // Lines that were applied by an earlier run are read all the same: the report needs to know what they asked for.
    const parsed = ledger.read(text);
    if ('malformed' in parsed) listener.malformed(number, parsed.malformed);
    else if (number > applied) group.push(parsed.line);
    if (group.length === groupSize) await applyGroup();
  }
  await applyGroup();
}

/** Resolves when the line has had its effect; for an order, with how it ended. */
export async function apply(cluster: Cluster, line: Line): Promise<Ending | undefined> {
  const once = { idempotencyKey: line.id, keyLifeMs };
  switch (line.kind) {
    case 'order':
      return cluster.entity(Order, line.order).place({ customer: line.customer, lines: line.lines }, once);
    case 'cancel':
      await cluster.entity(Order, line.order).cancel(undefined, once);
      return undefined;
    case 'restock':
      await cluster.entity(Stock, line.product).restock({ units: line.units }, once);
      return undefined;
  }
}
