/**
 * The view: the versioned list of workers and pins. From it, and from hashing alone, follows which worker should own which
 * partition (`placement.ts`); who *does* own it says the store.
 */

/** A type that a worker hosts, and the labels that a worker must have to be given any of its entities. */
export interface HostedType {
  readonly type: string;
  /** Sorted, without duplicates. */
  readonly labels: readonly string[];
}

/** Versions of the protocol that a process reads and writes: whole numbers from 1, `from` <= `to`. */
export interface ProtocolRange {
  readonly from: number;
  readonly to: number;
}

/** Whether two processes understand each other. */
export function areCompatible(one: ProtocolRange, other: ProtocolRange): boolean {
  return one.from <= other.to && other.from <= one.to;
}

/** What a worker speaks that does not say it. */
const firstProtocol: ProtocolRange = { from: 1, to: 1 };

export function protocolOf({ protocol }: { readonly protocol?: ProtocolRange | undefined }): ProtocolRange {
  return protocol ?? firstProtocol;
}

/** A worker as it announces itself. */
export interface WorkerEntry {
  /** Stable over restarts: partitions follow the name. At most one worker of a name is in a view. */
  readonly name: string;
  /** Of this one process, never used again: its subjects are made of it. */
  readonly id: string;
  /** Its share of the partitions in proportion to the others': a whole number from 1 to `weightMax`. */
  readonly weight: number;
  /** Sorted, without duplicates. */
  readonly labels: readonly string[];
  readonly types: readonly HostedType[];
  /** The application's version, for people. */
  readonly version: string;
  /** It is being drained: it answers, forwards and hands off, and gets no partition any more. */
  readonly isLeaving: boolean;
  /** Default: of the first version alone. */
  readonly protocol?: ProtocolRange | undefined;
}

/** An entity that is to be on a chosen worker. */
export interface Pin {
  readonly address: string;
  /** The worker's name. While no such worker is in the view, the entity is where it would be without the pin. */
  readonly worker: string;
}

export interface View {
  /** Greater than that of every view before it: the service's term times 2^20, and a count. */
  readonly version: number;
  /** How many partitions addresses hash to; fixed for a cluster's life. */
  readonly partitions: number;
  /** In order of their names. */
  readonly workers: readonly WorkerEntry[];
  /** In order of their addresses. */
  readonly pins: readonly Pin[];
}

/** Whether two views of one version say the same: they do, unless a store that went back gave a term twice (P8). */
export function isSameView(one: View, other: View): boolean {
  return (
    one.workers.length === other.workers.length &&
    one.pins.length === other.pins.length &&
    one.workers.every(({ id, isLeaving }, index) => {
      const entry = other.workers[index];
      return entry?.id === id && entry.isLeaving === isLeaving;
    }) &&
    one.pins.every(({ address, worker }, index) => {
      const pin = other.pins[index];
      return pin?.address === address && pin.worker === worker;
    })
  );
}

/** A view that nothing changes: workers of these names, each of which hosts all types and has the labels they require. */
export function viewOf(
  version: number,
  partitions: number,
  names: readonly string[],
  types: readonly (string | HostedType)[],
): View {
  const hosted = types.map((type) => (typeof type === 'string' ? { type, labels: [] } : type));
  const labels = [...new Set(hosted.flatMap((type) => type.labels))].sort();
  const workers = [...new Set(names)]
    .sort()
    .map((name) => ({ name, id: name, weight: 1, labels, types: hosted, version: '', isLeaving: false }));
  return { version, partitions, workers, pins: [] };
}
