/**
 * The view as one process knows it: learnt from publications, and requested when it seems to be out of date.
 *
 * Owns the current view, and the request for a later one. `cluster/acquisition.ts` acts on a new view for a worker;
 * `connect.ts` does for a client.
 *
 * Invariants:
 * - VW1 A view is followed only if its version is greater than that of the view before (except VW3).
 * - VW2 A worker that knows a later view than it hears, or another of the same version, sends its own to the service, which
 *   numbers its views above it. It tells nobody else, and clients tell nobody: a late view causes one message per worker.
 * - VW3 A client that has heard only other views than its own for `elderMs` follows them: all workers have then forgotten its
 *   view, after a store lost commits (P8). A client's view cannot do harm.
 * - VW4 A view that cannot belong to this cluster is never followed: after one with the last version number no view could be.
 */
import { Placement } from '../../placement/placement.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import { isSameView, type View } from '../../placement/view.ts';
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { encodeControl } from '../wire/control-messages.ts';
import type { Subjects } from '../wire/subjects.ts';

export interface ViewsParts extends ViewSubjects {
  readonly environment: Environment;
  readonly transport: Transport;
  /** The id of this process. */
  readonly id: string;
  readonly follow: (placement: Placement, before: Placement) => void;
}

/** The subjects for views. Workers and clients have different permissions, so they use different ones. */
interface ViewSubjects {
  /** The subject on which a requested view arrives. */
  readonly replyTo: string;
  /** The subject for requests to a worker, by its id, or (undefined) to the service. */
  readonly whereToAsk: (id: string | undefined) => string;
  /** The subject for reporting a later view; undefined: nobody would believe this process. */
  readonly told: string | undefined;
}

export function asWorker(subjects: Subjects, id: string): ViewSubjects {
  return {
    replyTo: subjects.control(id),
    whereToAsk: (other) => (other === undefined ? subjects.service : subjects.control(other)),
    told: subjects.service,
  };
}

/** Minimum interval between requests, ms. */
const askMs = 100;
/** Most elections that a process may have missed: so many take days. */
const termStepMax = 1_048_576;
/** Largest term of a first view: half of all numbers, so that there is always a later one. */
const firstTermMax = 2 ** 32;
/** Minimum interval between reports of a later view, ms: usually the older one was only delayed. */
const tellMs = 1_000;
/** Time after which a client follows other views than its own, ms. A service publishes every second and is replaced after three. */
const elderMs = 10_000;

export class Views {
  readonly #parts: ViewsParts;
  #placement: Placement;
  #askedAt = Number.NEGATIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** When the current view was last heard. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #first: ((placement: Placement) => void)[] = [];

  constructor(parts: ViewsParts, placement: Placement) {
    this.#parts = parts;
    this.#placement = placement;
  }

  get placement(): Placement {
    return this.#placement;
  }

  /** Whether any view is known yet. */
  get isKnown(): boolean {
    return this.#placement.view.version > 0;
  }

  /** A worker's name, by its id, for people to read. */
  nameOf(id: string): string {
    return this.#placement.view.workers.find((worker) => worker.id === id)?.name ?? id;
  }

  /** Resolves with the first view, at once if there is one. */
  known(): Promise<Placement> {
    if (this.isKnown) return Promise.resolve(this.#placement);
    return new Promise((resolve) => this.#first.push(resolve));
  }

  /**
   * Whether a view can belong to this cluster (VW4): it has the same number of partitions, and a term that the service can
   * have reached since the current view.
   */
  isCredible({ version, partitions }: View): boolean {
    const { view } = this.#placement;
    const isBound = this.isKnown || this.#parts.told !== undefined;
    if (isBound && partitions !== view.partitions) return false;
    return termOf(version) <= (this.isKnown ? termOf(view.version) + termStepMax : firstTermMax);
  }

  learn(view: View): void {
    if (!this.isCredible(view)) return;
    const before = this.#placement;
    const isRival = view.version === before.view.version && this.isKnown && !isSameView(view, before.view);
    const isOther = view.version < before.view.version || isRival;
    const { told, environment } = this.#parts;
    if (isOther && told !== undefined) this.#tell(told);
    if (isOther && (told !== undefined || environment.steady() - this.#heardAt < elderMs)) return;
    this.#heardAt = environment.steady();
    if (view.version === before.view.version && !isRival) return;
    this.#placement = new Placement(view);
    this.#parts.follow(this.#placement, before);
    for (const resolve of this.#first.splice(0)) resolve(this.#placement);
  }

  /**
   * Reports the current view to the service. After the store lost commits (P8) the service may publish older versions, which
   * no process with a later view would follow. The report makes it number its views above.
   */
  #tell(told: string): void {
    const { environment, transport } = this.#parts;
    const now = environment.steady();
    if (now - this.#toldAt < tellMs) return;
    this.#toldAt = now;
    transport.send(told, encodeControl({ kind: 'view', view: this.#placement.view, sent: 0 }, environment.now()));
  }

  /** Requests the latest view from the service, and from a random worker if one is known. */
  ask(): void {
    const { environment, transport, replyTo, whereToAsk, id } = this.#parts;
    const now = environment.steady();
    if (now - this.#askedAt < askMs) return;
    this.#askedAt = now;
    const question = encodeControl({ kind: 'resolve', replyTo });
    transport.send(whereToAsk(undefined), question);
    const others = this.#placement.view.workers.filter((worker) => worker.id !== id);
    const other = others[Math.floor(environment.random() * others.length)];
    if (other !== undefined) transport.send(whereToAsk(other.id), question);
  }
}

function termOf(version: number): number {
  return Math.floor(version / viewsPerTerm);
}

/** The placement before any view is known: without workers. */
export function noView(partitions: number): Placement {
  return new Placement({ version: 0, partitions, workers: [], pins: [] });
}

/**
 * Partitions that entities left or entered because they were pinned or unpinned; 'all' if the labels required by types have
 * changed.
 */
export function regrouped(before: Placement, after: Placement): readonly number[] | 'all' {
  if (requirementsOf(before) !== requirementsOf(after)) return 'all';
  return repinned(before, after).flatMap((address) => [before.partitionOf(address), after.partitionOf(address)]);
}

/** Entities that are pinned in one of two views and not in the other. */
export function repinned(before: Placement, after: Placement): string[] {
  const of = ({ view }: Placement) => new Set(view.pins.map(({ address }) => address));
  const [old, now] = [of(before), of(after)];
  return [...new Set([...old, ...now])].filter((address) => old.has(address) !== now.has(address));
}

/** Types whose required labels have changed, so that their entities belong to other partitions. */
export function relabelled(before: Placement, after: Placement): string[] {
  const types = new Set(before.view.workers.flatMap((worker) => worker.types.map(({ type }) => type)));
  return [...types].filter((type) => before.withoutPin(`${type}/`) !== after.withoutPin(`${type}/`));
}

function requirementsOf({ view }: Placement): string {
  const hosted = view.workers.flatMap(({ types }) => types.map(({ type, labels }) => `${type}:${labels.join()}`));
  return [...new Set(hosted)].sort().join(' ');
}

/** Whether the view assigns an entity to another process than the view before. */
export function isElsewhere(address: string, before: Placement, after: Placement): boolean {
  const was = before.workerOf(before.partitionOf(address));
  return was?.id !== after.workerOf(after.partitionOf(address))?.id;
}
