/**
 * The view as one process knows it: learned from what is published, asked for when it seems to be out of date.
 *
 * Owns which view holds here, and asking for a later one; what follows from it for a worker is `cluster/acquisition.ts`, for a client
 * its calls.
 *
 * Invariants:
 * - VW1 A view is followed only if its version is greater than that of the one before (but for VW3).
 * - VW2 A worker that knows a later view than somebody tells, or another of the same number, says so to the service, which numbers
 *   its own above it. Nobody else is told, and clients tell nobody: one late view is answered by one message of each worker.
 * - VW3 A client that has heard only other views than its own for `elderMs` follows what it hears: all workers have forgotten its
 *   own, with a store that went back (P8), and what a client goes by harms nobody.
 * - VW4 A view that cannot be one of this cluster is not followed, whoever sends it: after one of the last number there is none.
 */
import { Placement } from '../../placement/placement.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import { isSameView, type View } from '../../placement/view.ts';
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { encodeControl } from '../wire/control-messages.ts';
import type { Subjects } from '../wire/subjects.ts';

export interface ViewsParts extends Asked {
  readonly environment: Environment;
  readonly transport: Transport;
  /** Of this process. */
  readonly id: string;
  readonly follow: (placement: Placement, before: Placement) => void;
}

/** Whom to ask and to tell: what the server lets a worker differs from what it lets a client. */
interface Asked {
  /** Where a view that it asked for comes to. */
  readonly replyTo: string;
  /** Where a worker is asked, by its id, or (undefined) the service. */
  readonly whereToAsk: (id: string | undefined) => string;
  /** Who is told of a later view than others go by; undefined: nobody would believe this process. */
  readonly told: string | undefined;
}

export function asWorker(subjects: Subjects, id: string): Asked {
  return {
    replyTo: subjects.control(id),
    whereToAsk: (other) => (other === undefined ? subjects.service : subjects.control(other)),
    told: subjects.service,
  };
}

/** Asked again at most this often, ms. */
const askMs = 100;
/** Elections that a process may have missed: so many take days. */
const termStepMax = 1_048_576;
/** And before it knew any view: half of what there are numbers for, so that there is always a later one. */
const firstTermMax = 2 ** 32;
/** Who goes by an older view is told at most this often, ms: mostly it is one that was late. */
const tellMs = 1_000;
/** The service tells its view every second, and another takes over after three. */
const elderMs = 10_000;

export class Views {
  readonly #parts: ViewsParts;
  #placement: Placement;
  #askedAt = Number.NEGATIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** When the view that holds here was last heard. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #first: ((placement: Placement) => void)[] = [];

  constructor(parts: ViewsParts, placement: Placement) {
    this.#parts = parts;
    this.#placement = placement;
  }

  get placement(): Placement {
    return this.#placement;
  }

  /** Whether any view was learned yet. */
  get isKnown(): boolean {
    return this.#placement.view.version > 0;
  }

  /** A worker's name for people, by its id. */
  nameOf(id: string): string {
    return this.#placement.view.workers.find((worker) => worker.id === id)?.name ?? id;
  }

  /** Resolves with the first view, at once if there is one. */
  known(): Promise<Placement> {
    if (this.isKnown) return Promise.resolve(this.#placement);
    return new Promise((resolve) => this.#first.push(resolve));
  }

  /**
   * Whether a view can be one of this cluster (VW4): of as many partitions, and of a term that the service can have come to
   * since the one that holds here.
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
   * Somebody goes by an older view. If it is the service, since the store went back and nobody else remembers (P8), nobody who
   * knows the later one would ever follow it: hearing of that one it numbers its views above.
   */
  #tell(told: string): void {
    const { environment, transport } = this.#parts;
    const now = environment.steady();
    if (now - this.#toldAt < tellMs) return;
    this.#toldAt = now;
    transport.send(told, encodeControl({ kind: 'view', view: this.#placement.view, sent: 0 }, environment.now()));
  }

  /** Something came from a later view, or nothing where something should have: ask the service, and a worker if one is known. */
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

/** Before any view is known: nobody owns anything. */
export function noView(partitions: number): Placement {
  return new Placement({ version: 0, partitions, workers: [], pins: [] });
}

/**
 * Partitions that entities were taken out of or came to, since they are pinned, or not any more; 'all': what types require
 * has changed.
 */
export function regrouped(before: Placement, after: Placement): readonly number[] | 'all' {
  if (requirementsOf(before) !== requirementsOf(after)) return 'all';
  return repinned(before, after).flatMap((address) => [before.partitionOf(address), after.partitionOf(address)]);
}

/** Entities that are pinned by one of two views and not by the other. */
export function repinned(before: Placement, after: Placement): string[] {
  const of = ({ view }: Placement) => new Set(view.pins.map(({ address }) => address));
  const [old, now] = [of(before), of(after)];
  return [...new Set([...old, ...now])].filter((address) => old.has(address) !== now.has(address));
}

/** Types that other labels are required for than before: their entities belong to other groups. */
export function relabelled(before: Placement, after: Placement): string[] {
  const types = new Set(before.view.workers.flatMap((worker) => worker.types.map(({ type }) => type)));
  return [...types].filter((type) => before.withoutPin(`${type}/`) !== after.withoutPin(`${type}/`));
}

function requirementsOf({ view }: Placement): string {
  const hosted = view.workers.flatMap(({ types }) => types.map(({ type, labels }) => `${type}:${labels.join()}`));
  return [...new Set(hosted)].sort().join(' ');
}

/** Whether an entity's worker is another process than by the view before. */
export function isElsewhere(address: string, before: Placement, after: Placement): boolean {
  const was = before.workerOf(before.partitionOf(address));
  return was?.id !== after.workerOf(after.partitionOf(address))?.id;
}
