/** The testbed of a run: its servers, its folders, and the site of each repeat. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Plan, type Site, stallMsOf, type Usage } from '../plan.ts';
import type { Traffic } from '../report/outcome.ts';
import { type Server, startNats, startRedis } from './servers.ts';
import { usageOf } from './usage.ts';

const tmpfs = 0x01021994;

/** The same site, with a store that nothing else uses. */
export function siteWithin(site: Site, name: string): Site {
  const { store } = site;
  if (store.kind === 'lmdb') return { ...site, store: { ...store, folder: join(store.folder, name) } };
  return store.kind === 'redis' ? { ...site, store: { ...store, prefix: `${store.prefix}-${name}` } } : site;
}

export class Place {
  readonly #plan: Plan;
  readonly #folder: string;
  readonly #servers: Server[] = [];
  #natsUrl: string | undefined;
  #redisUrl = '';

  constructor(plan: Plan) {
    this.#plan = plan;
    const base = plan.store.kind === 'lmdb' ? plan.store.folder : undefined;
    if (base !== undefined) mkdirSync(base, { recursive: true });
    this.#folder = mkdtempSync(join(base ?? tmpdir(), 'skerry-perf-'));
    // An interrupted run leaves nothing behind.
    process.once('exit', this.#remove);
  }

  readonly #remove = (): void => rmSync(this.#folder, { recursive: true, force: true });

  async open(): Promise<void> {
    const { nats, store } = this.#plan;
    if (nats.kind === 'own') this.#natsUrl = await this.#start(startNats);
    else if (nats.kind === 'at') this.#natsUrl = nats.url;
    if (store.kind === 'redis') this.#redisUrl = store.url ?? (await this.#start(startRedis));
  }

  async #start(start: (folder: string) => Promise<Server>): Promise<string> {
    const server = await start(this.#folder);
    this.#servers.push(server);
    return server.url;
  }

  /** A site for each repeat, which shares no key, folder or cluster with another. */
  siteOf(run: string, isMoving: boolean): Site {
    const { plan, natsUrl } = { plan: this.#plan, natsUrl: this.#natsUrl };
    const folder = join(this.#folder, run);
    if (plan.store.kind === 'lmdb') mkdirSync(folder, { recursive: true });
    return {
      cluster: plan.attach ? plan.cluster : `${plan.cluster}-${run}`,
      workers: plan.workers,
      isTogether: plan.isTogether,
      connections: plan.connections,
      ...(plan.storePerS === undefined ? {} : { storePerS: plan.storePerS }),
      stallMs: stallMsOf(plan.durationMs),
      store:
        plan.store.kind === 'redis'
          ? { kind: 'redis', url: this.#redisUrl, prefix: `perf-${run}` }
          : plan.store.kind === 'lmdb'
            ? { kind: 'lmdb', folder }
            : { kind: 'memory' },
      ...(natsUrl === undefined ? {} : { natsUrl }),
      isMoving,
    };
  }

  leave(site: Site): void {
    if (site.store.kind === 'lmdb') rmSync(site.store.folder, { recursive: true, force: true });
  }

  get usages(): Usage[] {
    return this.#servers.map(({ name, pid }) => usageOf(name, pid)).filter((usage) => usage !== undefined);
  }

  /** Undefined if the run has no nats-server of its own. */
  async traffic(): Promise<Traffic | undefined> {
    return this.#servers.find(({ traffic }) => traffic !== undefined)?.traffic?.();
  }

  get versions(): Record<string, string> {
    return Object.fromEntries(this.#servers.map(({ name, version }) => [name, version]));
  }

  get durability(): string {
    const { store, attach } = this.#plan;
    if (attach) return 'what the store of that cluster is set to';
    if (store.kind === 'memory') return 'none: kept in memory';
    if (store.kind === 'redis')
      return store.url === undefined
        ? 'Redis, AOF, appendfsync everysec: up to a second is lost when the machine fails'
        : 'what that Redis is set to';
    const isInMemory = statfsSync(this.#folder).type === tmpfs;
    return isInMemory ? 'LMDB on tmpfs: in memory, nothing is flushed to a disk' : 'LMDB, flushed before each answer';
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
    this.#remove();
    process.removeListener('exit', this.#remove);
  }
}
