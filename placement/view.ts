/**
 * The view: the versioned list of workers and pins. The view and hashing alone determine which worker *should* own a
 * partition (`placement.ts`); the store knows which worker *does*.
 */

/** A type that a worker hosts, and the labels that a worker must have to own entities of it. */
export interface HostedType {
  readonly type: string;
  /** Sorted, without duplicates. */
  readonly labels: readonly string[];
}

/** The protocol versions that a process reads and writes: whole numbers from 1, `from` <= `to`. */
export interface ProtocolRange {
  readonly from: number;
  readonly to: number;
}

/** Whether two processes have a protocol version in common. */
export function areCompatible(one: ProtocolRange, other: ProtocolRange): boolean {
  return one.from <= other.to && other.from <= one.to;
}

/** The range of a worker whose announcement has none. */
const firstProtocol: ProtocolRange = { from: 1, to: 1 };

export function protocolOf({ protocol }: { readonly protocol?: ProtocolRange | undefined }): ProtocolRange {
  return protocol ?? firstProtocol;
}

/** A worker, as listed in a view. */
export interface WorkerEntry {
  /** Stable over restarts: partitions follow the name. A view has at most one worker of a name. */
  readonly name: string;
  /** Identifies this process; never used again. Its subjects are made from it. */
  readonly id: string;
  /** Its share of the partitions, relative to other workers: a whole number from 1 to `weightMax`. */
  readonly weight: number;
  /** Sorted, without duplicates. */
  readonly labels: readonly string[];
  readonly types: readonly HostedType[];
  /** The application's version, for people to read. */
  readonly version: string;
  /** Whether it is draining: it still answers, forwards and hands off, but acquires no partitions. */
  readonly isLeaving: boolean;
  /** The protocol versions that it speaks (default: only the first). */
  readonly protocol?: ProtocolRange | undefined;
}

/** Assigns one entity to a chosen worker. */
export interface Pin {
  readonly address: string;
  /** The worker's name. While no such worker is in the view, the entity is placed as if it had no pin. */
  readonly worker: string;
}

export interface View {
  /** Grows with every view: the service's term times 2^20, plus a count. */
  readonly version: number;
  /** Number of partitions that addresses hash to; fixed for the life of a cluster. */
  readonly partitions: number;
  /** In order of their names. */
  readonly workers: readonly WorkerEntry[];
  /** In order of their addresses. */
  readonly pins: readonly Pin[];
}

/** Whether two views of one version are equal. They are, unless a store that lost commits gave the same term twice (P8). */
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

/** A fixed view: workers of these names, each of which hosts all types and has all the labels that they require. */
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
