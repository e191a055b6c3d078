/** A worker in a process of its own, of a cluster over NATS. */
import { machineEnvironment } from '../runtime/environment.ts';
import { standardLog } from '../runtime/log.ts';
import { type ServedWorker, serve } from '../runtime/serve.ts';
import type { Store } from '../runtime/store.ts';
import type { Transport } from '../runtime/transport.ts';
import behaviours from './app.ts';
import { countingStore, countingTransport, newCounts } from './counting.ts';
import type { Duties } from './peer.ts';
import type { Site } from './plan.ts';
import { openStore, openTransport } from './site.ts';
import { ownUsage } from './usage.ts';

export class WorkerProcess {
  readonly #name: string;
  readonly #counts = newCounts();
  #opened: { readonly worker: ServedWorker; readonly store: Store; readonly transport: Transport } | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  readonly duties: Duties = {
    open: (site: Site) => this.#open(site),
    usage: () => ownUsage(this.#name, { ...this.#counts, turns: this.#turns }),
    close: () => this.#close(),
  };

  get #turns(): number {
    return this.#opened?.worker.member.worker.figures.turns ?? 0;
  }

  async #open(site: Site): Promise<void> {
    if (site.natsUrl === undefined) throw new Error('a worker of its own needs NATS');
    const store = await openStore(site);
    const transport = await openTransport(site.natsUrl);
    const worker = await serve({
      behaviours,
      store: countingStore(store, this.#counts),
      transport: countingTransport(transport, this.#counts),
      cluster: site.cluster,
      name: this.#name,
      environment: machineEnvironment(standardLog('error')),
    });
    this.#opened = { worker, store, transport };
    await worker.ready();
  }

  /** In good order: what it hosts goes to the others first. */
  async #close(): Promise<void> {
    if (this.#opened === undefined) return;
    const { worker, transport, store } = this.#opened;
    await worker.close();
    await transport.close();
    await store.close();
    this.#opened = undefined;
  }
}
