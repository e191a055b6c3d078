/** One worker in its own process, or all workers in one, of a cluster over NATS. */
import { machineEnvironment } from '../../runtime/environment.ts';
import { standardLog } from '../../runtime/log.ts';
import { type ServedWorker, serve } from '../../runtime/serve.ts';
import type { Store } from '../../runtime/store.ts';
import type { Transport } from '../../runtime/transport.ts';
import behaviours from '../app.ts';
import type { Site } from '../plan.ts';
import { countingStore, countingTransport, newCounts } from './counting.ts';
import type { Duties } from './process-rpc.ts';
import { drain, openStore, openTransport, stall, takeHolding, watchHolding, workerName } from './process-setup.ts';
import { ownUsage } from './usage.ts';

export class WorkerProcess {
  readonly #name: string;
  readonly #counts = newCounts();
  readonly #workers: ServedWorker[] = [];
  readonly #transports: Transport[] = [];
  readonly #watch = watchHolding(() => this.#workers);
  #store: Store | undefined;
  #stallMs = 0;

  constructor(name: string) {
    this.#name = name;
  }

  readonly duties: Duties = {
    open: (site: Site) => this.#open(site),
    usage: () => ownUsage(this.#name, { ...this.#counts, turns: this.#turns }),
    extra: () => takeHolding(this.#watch.holding),
    drain: () => this.#drain(),
    stall: () => this.#stall(),
    close: () => this.#close(),
  };

  get #turns(): number {
    return this.#workers.reduce((sum, { member }) => sum + member.worker.figures.turns, 0);
  }

  async #drain(): Promise<string> {
    let names = '';
    await drain(this.#workers, (told) => {
      names = told;
    });
    return names;
  }

  async #stall(): Promise<string> {
    if (this.#store !== undefined) await stall(this.#store, this.#stallMs);
    return 'the store';
  }

  async #open(site: Site): Promise<void> {
    if (site.natsUrl === undefined) throw new Error('a worker of its own needs NATS');
    this.#store = await openStore(site);
    this.#stallMs = site.stallMs;
    const store = countingStore(this.#store, this.#counts);
    const names = site.isTogether
      ? Array.from({ length: site.workers }, (_, index) => workerName(index + 1))
      : [this.#name];
    for (const name of names) {
      const transport = await openTransport(site.natsUrl);
      this.#transports.push(transport);
      const worker = await serve({
        behaviours,
        store,
        transport: countingTransport(transport, this.#counts),
        cluster: site.cluster,
        name,
        environment: machineEnvironment(standardLog('error')),
      });
      this.#workers.push(worker);
    }
    await Promise.all(this.#workers.map((worker) => worker.ready()));
  }

  /** Leaves cleanly: its entities are handed off first. */
  async #close(): Promise<void> {
    const [workers, transports, store] = [this.#workers.splice(0), this.#transports.splice(0), this.#store];
    this.#store = undefined;
    this.#watch.stop();
    await Promise.all(workers.map((worker) => worker.close()));
    await Promise.all(transports.map((transport) => transport.close()));
    await store?.close();
  }
}
