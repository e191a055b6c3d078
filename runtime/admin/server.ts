/**
 * The desk of a worker: answers what tools ask (`wire/admin-messages.ts`), for one worker of a cluster.
 *
 * Owns the bounds on it: how much is answered at a time, and how long an answer of several parts is kept for who fetches it.
 *
 * Invariants:
 * - DK1 An answer fits into frames of the transport, part by part; one that is too large as a whole is an error that says so.
 * - DK2 At most `underWayCountMax` asks are worked on and `keptCountMax` answers kept; past that the answer is `overloaded`,
 *   and the oldest kept answer goes (P12). Epochs are told of as many partitions as a cluster may have.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import { SkerryError } from '../../core/errors.ts';
import { parseAddress } from '../../core/message.ts';
import { partitionOf } from '../../placement/hash.ts';
import type { Member } from '../cluster/member.ts';
import type { Environment } from '../environment.ts';
import type { Counter } from '../meter.ts';
import type { Partition, Store } from '../store.ts';
import type { Transport } from '../transport.ts';
import {
  type AdminRequest,
  type AdminRequestFrame,
  answerBytesMax,
  decodeAdminRequest,
  encodeAnswer,
  encodeFailure,
  encodePart,
  partOverheadBytes,
} from '../wire/admin-messages.ts';
import { partitionsMax } from '../wire/control-messages.ts';
import type { Subjects } from '../wire/subjects.ts';
import { knownTypes, placeRow, reportRow, typesRow, type WorkerReport } from './worker-report.ts';

export interface AdminServerParts {
  readonly environment: Environment;
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly store: Store;
  readonly behaviours: readonly Behaviour[];
  readonly member: Member;
  /** Somebody wants this worker to hand everything off and end. */
  readonly leave: () => void;
}

/** Asks that are being answered at once. */
const underWayCountMax = 32;
/** Rows and bytes of one page of what is stored. The rows are at most so many times a message's largest input. */
const pageCountMax = 64;
const pageBytesMax = 4_194_304;
/** Addresses are short: of those a page has more. */
const addressCountMax = 1_000;
/** Answers of several parts that wait to be fetched, and for how long, ms. */
const keptCountMax = 4;
const keptMs = 10_000;

interface Kept {
  readonly bytes: Uint8Array;
  readonly cancel: () => void;
}

export class AdminServer {
  readonly #parts: AdminServerParts;
  readonly #startedAt: number;
  readonly #stopListening: () => void;
  /** By who asked and the number of the ask; the oldest first. */
  readonly #kept = new Map<string, Kept>();
  /** By the same names: one that comes again meanwhile is answered once. */
  readonly #underWay = new Set<string>();
  readonly #refused: Counter;

  constructor(parts: AdminServerParts) {
    this.#parts = parts;
    const { transport, subjects, member, environment } = parts;
    this.#startedAt = environment.now();
    this.#refused = member.counters.of('requests-refused');
    this.#stopListening = transport.listen(subjects.asks(member.entry.id), (bytes) => this.#receive(bytes));
  }

  close(): void {
    this.#stopListening();
    for (const name of [...this.#kept.keys()]) this.#forget(name);
  }

  #receive(bytes: Uint8Array): void {
    let frame: AdminRequestFrame;
    try {
      frame = decodeAdminRequest(bytes);
    } catch {
      this.#refused.add();
      return;
    }
    const name = nameOf(frame);
    if (!this.#parts.subjects.isAnswers(frame.replyTo)) this.#refused.add();
    else if (frame.ask.kind === 'more') this.#sendMore(frame, frame.ask.index);
    else if (this.#kept.has(name)) this.#sendMore(frame, 0);
    else if (this.#underWay.has(name)) return;
    else if (this.#underWay.size >= underWayCountMax)
      this.#reply(
        frame,
        encodeFailure(
          new SkerryError('overloaded', `This worker is already answering ${underWayCountMax} requests; retry later`),
        ),
      );
    else void this.#answer(frame);
  }

  async #answer(frame: AdminRequestFrame): Promise<void> {
    this.#underWay.add(nameOf(frame));
    let answer: Uint8Array;
    try {
      answer = encodeAnswer(await this.#valueOf(frame.ask));
      if (answer.length > answerBytesMax)
        throw new SkerryError('too-large', `The answer has ${answer.length} bytes; the limit is ${answerBytesMax}`);
    } catch (error) {
      answer = encodeFailure(error);
    }
    this.#underWay.delete(nameOf(frame));
    this.#reply(frame, answer);
  }

  // ---- parts

  get #partBytes(): number {
    return this.#parts.transport.frameBytesMax - partOverheadBytes;
  }

  #reply(frame: AdminRequestFrame, answer: Uint8Array): void {
    if (answer.length > this.#partBytes) this.#keep(nameOf(frame), answer);
    this.#sendPart(frame, answer, 0);
  }

  #sendPart({ replyTo, number }: AdminRequestFrame, answer: Uint8Array, index: number): void {
    const size = this.#partBytes;
    const bytes = answer.subarray(index * size, (index + 1) * size);
    this.#parts.transport.send(
      replyTo,
      encodePart({ number, index, count: Math.max(1, Math.ceil(answer.length / size)), bytes }),
    );
  }

  #sendMore(frame: AdminRequestFrame, index: number): void {
    const kept = this.#kept.get(nameOf(frame));
    if (kept !== undefined) return this.#sendPart(frame, kept.bytes, index);
    // A whole of one part: who asked for another one takes it for the answer.
    this.#sendPart(
      frame,
      encodeFailure(new SkerryError('overloaded', 'The worker no longer keeps the answer: send the request again')),
      0,
    );
  }

  #keep(name: string, bytes: Uint8Array): void {
    this.#forget(name);
    for (const oldest of this.#kept.keys()) if (this.#kept.size >= keptCountMax) this.#forget(oldest);
    this.#kept.set(name, { bytes, cancel: this.#parts.environment.after(keptMs, () => this.#forget(name)) });
  }

  #forget(name: string): void {
    this.#kept.get(name)?.cancel();
    this.#kept.delete(name);
  }

  // ---- answers

  async #valueOf(ask: AdminRequest): Promise<unknown> {
    const { behaviours, leave } = this.#parts;
    switch (ask.kind) {
      case 'report':
        return reportRow(this.#report());
      case 'types':
        return typesRow(knownTypes(behaviours));
      case 'entity':
        return this.#place(ask.address);
      case 'load':
        return this.#load(ask.address);
      case 'scan':
        return this.#scan(ask);
      case 'list':
        return this.#list(ask);
      case 'wakes':
        return this.#wakes(ask);
      case 'epochs':
        return this.#epochs(ask.partitions);
      case 'pin':
        return this.#pin(ask);
      case 'leave':
        return leave();
      case 'more':
        return undefined;
    }
  }

  #report(): WorkerReport {
    const { worker, entry, views, acquisition, counters, isReady, isServing, split, skewMaxMs } = this.#parts.member;
    const { activations, queued, turns, overloaded } = worker.figures;
    return {
      id: entry.id,
      name: entry.name,
      pid: process.pid,
      now: this.#parts.environment.now(),
      startedAt: this.#startedAt,
      viewVersion: views.placement.view.version,
      isReady,
      isServing,
      split,
      partitions: worker.partitions.map((partition) => ({
        partition,
        epoch: worker.ownership.epochOf(partition),
        isLeaving: worker.isLeaving(partition),
      })),
      coming: acquisition.coming,
      figures: {
        activations,
        queued,
        turns,
        overloaded,
        moved: counters.sumOf('moved'),
        forwarded: counters.sumOf('forwarded'),
      },
      skewMaxMs,
    };
  }

  #place(address: string): unknown {
    const { worker, views } = this.#parts.member;
    parseAddress(address);
    const partition = views.placement.partitionOf(address);
    const epoch = worker.has(partition) ? worker.ownership.epochOf(partition) : undefined;
    return placeRow({ partition, epoch, isActive: worker.isActive(address) });
  }

  #entity(address: string) {
    parseAddress(address);
    return { partition: partitionOf(address, this.#parts.store.partitions), address };
  }

  async #load(address: string): Promise<unknown> {
    const [loaded] = await this.#parts.store.load([this.#entity(address)]);
    return loaded === undefined ? null : [loaded.version, loaded.head, loaded.wakeAt ?? null, loaded.records];
  }

  /** A page, and whether there may be more after it. */
  async #scan({ address, prefix, after, limit }: Extract<AdminRequest, { kind: 'scan' }>): Promise<unknown> {
    const count = bounded(limit, pageCountMax);
    const rows = await this.#parts.store.scan(this.#entity(address), prefix, {
      ...(after === '' ? {} : { after }),
      limit: count,
    });
    let bytes = 0;
    const fitting = rows.findIndex(([, value], index) => {
      bytes += value.length;
      return index > 0 && bytes > pageBytesMax;
    });
    return fitting < 0 ? [rows, rows.length === count] : [rows.slice(0, fitting), true];
  }

  #list({ type, after, limit }: Extract<AdminRequest, { kind: 'list' }>): Promise<unknown> {
    return this.#parts.store.list(type === '' ? undefined : type, {
      ...(after === '' ? {} : { after }),
      limit: bounded(limit, addressCountMax),
    });
  }

  async #wakes({ partition, wakeAt, address, limit }: Extract<AdminRequest, { kind: 'wakes' }>): Promise<unknown> {
    const wakes = await this.#parts.store.wakes(partition, {
      ...(address === '' ? {} : { after: { wakeAt, address } }),
      limit: bounded(limit, addressCountMax),
    });
    return wakes.map((wake) => [wake.address, wake.wakeAt]);
  }

  /** There are no more to ask for: whoever does is refused before the store is asked. */
  async #epochs(partitions: readonly Partition[]): Promise<unknown> {
    if (partitions.length > partitionsMax)
      throw new SkerryError(
        'too-large',
        `The request is for the epochs of ${partitions.length} partitions; the limit is ${partitionsMax}`,
      );
    return this.#parts.store.epochs(partitions);
  }

  async #pin({ address, worker }: Extract<AdminRequest, { kind: 'pin' }>): Promise<unknown> {
    const { member } = this.#parts;
    parseAddress(address);
    if (worker !== '' && !member.views.placement.view.workers.some(({ name }) => name === worker))
      throw new SkerryError('not-found', `There is no worker '${worker}' in the view`);
    await member.pin(address, worker === '' ? undefined : worker);
    return null;
  }
}

function nameOf({ replyTo, number }: AdminRequestFrame): string {
  return `${replyTo} ${number}`;
}

function bounded(limit: number, most: number): number {
  return Math.max(1, Math.min(Math.floor(limit), most));
}
