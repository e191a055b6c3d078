/**
 * The admin server of a worker: answers the requests of tools (`wire/admin-messages.ts`).
 *
 * Owns the bounds on it: the requests answered at once, and how long an answer of several parts is kept for its client.
 *
 * Invariants:
 * - DK1 Each part of an answer fits into a frame. An answer that is too large as a whole is an error that says so.
 * - DK2 At most `inFlightCountMax` requests are processed and `keptCountMax` answers kept. Beyond that a request is answered
 *   `overloaded`, and the oldest kept answer is dropped (P12). A request for epochs has at most `partitionsMax` partitions.
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
  /** Called when a tool requests that this worker hands everything off and stops. */
  readonly leave: () => void;
}

/** Most requests answered at once. */
const inFlightCountMax = 32;
/** Most rows and bytes of one page of stored records. A row is as large as a message's largest input at most. */
const pageCountMax = 64;
const pageBytesMax = 4_194_304;
/** Most addresses of one page. They are short, so a page has more of them. */
const addressCountMax = 1_000;
/** Most answers of several parts that are kept for their clients, and for how long, ms. */
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
  /** Kept answers, by requester and number; the oldest first. */
  readonly #kept = new Map<string, Kept>();
  /** Requests being answered, by the same names. A repeat that arrives meanwhile is dropped. */
  readonly #inFlight = new Set<string>();
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
    else if (frame.request.kind === 'more') this.#sendMore(frame, frame.request.index);
    else if (this.#kept.has(name)) this.#sendMore(frame, 0);
    else if (this.#inFlight.has(name)) return;
    else if (this.#inFlight.size >= inFlightCountMax)
      this.#reply(
        frame,
        encodeFailure(
          new SkerryError('overloaded', `This worker is already answering ${inFlightCountMax} requests; retry later`),
        ),
      );
    else void this.#answer(frame);
  }

  async #answer(frame: AdminRequestFrame): Promise<void> {
    this.#inFlight.add(nameOf(frame));
    let answer: Uint8Array;
    try {
      answer = encodeAnswer(await this.#valueOf(frame.request));
      if (answer.length > answerBytesMax)
        throw new SkerryError('too-large', `The answer has ${answer.length} bytes; the limit is ${answerBytesMax}`);
    } catch (error) {
      answer = encodeFailure(error);
    }
    this.#inFlight.delete(nameOf(frame));
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
    // One part that is the whole answer: the client that requested a further part takes it for the answer.
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

  async #valueOf(request: AdminRequest): Promise<unknown> {
    const { behaviours, leave } = this.#parts;
    switch (request.kind) {
      case 'report':
        return reportRow(this.#report());
      case 'types':
        return typesRow(knownTypes(behaviours));
      case 'entity':
        return this.#place(request.address);
      case 'load':
        return this.#load(request.address);
      case 'scan':
        return this.#scan(request);
      case 'list':
        return this.#list(request);
      case 'wakes':
        return this.#wakes(request);
      case 'epochs':
        return this.#epochs(request.partitions);
      case 'pin':
        return this.#pin(request);
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

  /** A cluster has no more partitions than that, so a longer request is rejected before the store is read. */
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
