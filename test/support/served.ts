/** Workers of one cluster, driven by hand: they share a store behind a gate, a transport, and a manual clock. */
import type { Behaviour } from '../../core/behaviour.ts';
import type { Limits } from '../../core/limits.ts';
import type { PlacementLimits } from '../../placement/limits.ts';
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { type ServedWorker, type ServeOptions, serve } from '../../runtime/serve.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { GateStore } from './gate.ts';
import { HandEnvironment } from './hand.ts';
import { type Scripts, Tally, tallyWith } from './tally.ts';

export interface ServedGiven {
  readonly hand: HandEnvironment;
  readonly gate: GateStore;
  readonly transport: MemoryTransport;
  /** A client outside the workers; unusable in a cluster that starts without workers. */
  readonly remote: RemoteCluster;
  /** One client more. */
  remoteOf(): Promise<RemoteCluster>;
  readonly workers: Map<string, ServedWorker>;
  /** Starts a worker and waits until it is ready. */
  join(name: string, options?: Partial<ServeOptions>): Promise<ServedWorker>;
  tally(key: string): ReturnType<typeof callerOf>;
  /** A key whose tally belongs to this worker in the present view. */
  keyAt(worker: string): string;
  during<Value>(promise: Promise<Value>): Promise<Value>;
}
const callerOf = (remote: RemoteCluster, key: string) => remote.entity(Tally, key);

export interface ServedOptions {
  readonly names?: readonly string[];
  readonly scripts?: Scripts;
  readonly behaviours?: readonly Behaviour[];
  readonly limits?: Partial<Limits>;
  readonly placementLimits?: Partial<PlacementLimits>;
  /** Epochs are at least the date, as in stores that may go back. */
  readonly isDated?: boolean;
}

const noRemote = undefined as unknown as RemoteCluster;

/** Starts workers one by one, runs the test, and stops the workers however it ends. */
export async function withWorkers(options: ServedOptions, body: (given: ServedGiven) => Promise<void>): Promise<void> {
  const hand = new HandEnvironment();
  const dated = { now: () => hand.now() };
  const gate = new GateStore(new MemoryStore({ partitions: 16, ...(options.isDated && dated) }));
  const transport = new MemoryTransport(hand);
  const workers = new Map<string, ServedWorker>();
  const during = <Value>(promise: Promise<Value>) => hand.during(promise);
  const { limits = {}, placementLimits = {} } = options;
  const join = async (name: string, more: Partial<ServeOptions> = {}) => {
    const behaviours = options.behaviours ?? [tallyWith(options.scripts)];
    const shared = { behaviours, transport, store: gate, environment: hand, limits, placementLimits };
    const worker = await serve({ ...shared, name, ...more });
    workers.set(name, worker);
    await during(worker.ready());
    await hand.advance(100);
    return worker;
  };
  for (const name of options.names ?? ['a', 'b']) await join(name);
  const remotes: RemoteCluster[] = [];
  const remoteOf = async () => {
    const made = await during(connect({ transport, environment: hand, limits }));
    remotes.push(made);
    return made;
  };
  const remote = workers.size === 0 ? noRemote : await remoteOf();
  const keyAt = (worker: string) => {
    for (let key = 0; key < 10_000; key++) if (remote.where(`tally/${key}`).worker === worker) return String(key);
    throw new Error(`${worker} has no tally`);
  };
  try {
    const tally = (key: string) => callerOf(remote, key);
    await body({ hand, gate, transport, remote, remoteOf, workers, join, during, keyAt, tally });
  } finally {
    for (const made of remotes) await made.close();
    for (const { member } of workers.values()) member.stop();
  }
}
