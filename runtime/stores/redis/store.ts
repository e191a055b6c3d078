/**
 * The store on a Redis server or a Redis Cluster, for workers on several machines.
 *
 * Owns the division of the work into calls to the server, and the meaning of its replies. `layout.ts` names the keys,
 * `scripts.ts` has the server's atomic steps, `request.ts` encodes commits for them, `link.ts` is the connection,
 * `counters.ts` detects that the server has lost commits, `checks.ts` checks the server before the first commit.
 *
 * Longer than 400 lines because the store is one interface whose calls share their knowledge of the server.
 *
 * Invariants:
 * - SR1 On one server a group is one call; the caller bounds its size. On a cluster it is one call for each partition, all
 *   sent before the first is awaited.
 * - SR2 A server that has lost acknowledged commits is detected at the next commit, ownership check or connection. The loss
 *   of each affected partition is reported. From then on its epochs are stale in this process, so that memory newer than the
 *   store never meets it.
 * - SR3 Epochs follow the server's clock, so that a server that forgot a claim does not give the same epoch again (S6).
 *
 * A claim of several partitions of a cluster is not one step: if it fails, it may have raised some of their epochs.
 */
import { isSkerryError, SkerryError } from '../../../core/errors.ts';
import type { Address } from '../../../core/message.ts';
import {
  checkOptions,
  count,
  duration,
  flag,
  type OptionTable,
  record,
  text,
  textOrTexts,
  withFunctions,
} from '../../../core/options.ts';
import type { Pin } from '../../../placement/view.ts';
import { type Log, standardLog } from '../../log.ts';
import type {
  Along,
  Claim,
  Commit,
  Epoch,
  Lease,
  Loaded,
  Loss,
  Mark,
  Outcome,
  Partition,
  RecordName,
  Store,
  Wake,
} from '../../store.ts';
import type { LeaseCall } from '../lease.ts';
import { compareAddresses } from '../memory.ts';
import { checkRights, enter, identityOf, sayWhatIsKept } from './checks.ts';
import { type Known, RedisCounters } from './counters.ts';
import { checkPrefix, isLazy, lexRange, RedisLayout } from './layout.ts';
import { RedisLink, type Reply } from './link.ts';
import { type FetchAddresses, firstAddresses } from './listing.ts';
import {
  addressesOf,
  claimsOf,
  loadedAlong,
  loadedOf,
  outcomesOf,
  type Present,
  pinsOf,
  presentOf,
  recordsOf,
  scannedOf,
  wakesOf,
} from './replies.ts';
import { commitRequest, type Share } from './request.ts';
import { claimScript, commitScript, leaseScript, loadScript, pinScript, scanScript, wakesScript } from './scripts.ts';
import { callsOf, placesOf, refuseTooLarge, sharesOf, valueBytesMax } from './shares.ts';

export interface RedisOptions {
  /** `redis://[user:password@]host[:port][/number]`, or `rediss:` for TLS. For a Redis Cluster, one or several of its servers. */
  readonly url: string | readonly string[];
  /** Whether it is a Redis Cluster (default false). */
  readonly cluster?: boolean | undefined;
  /** Prefix of all keys (default `skerry`). Clusters with different prefixes can share a server. */
  readonly prefix?: string | undefined;
  /** Number of partitions (default 256). Fixed when the store is created. */
  readonly partitions?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Options of Node's `tls.connect`: `ca`, `cert`, `key`, … */
  readonly tls?: object | undefined;
  /** Number of replicas that must have a commit before its output leaves the worker (default 0). */
  readonly minReplicas?: number | undefined;
  /** Maximum wait for those replicas, ms (default 1,000). */
  readonly minReplicasMs?: number | undefined;
  /** A server that does not answer within this time counts as unavailable, ms (default 5,000). */
  readonly commandTimeoutMs?: number | undefined;
  /** Default: warnings on standard error. */
  readonly log?: Log | undefined;
}

const redisOptions: OptionTable<RedisOptions> = {
  url: textOrTexts,
  cluster: flag,
  prefix: text,
  partitions: count(1),
  user: text,
  password: text,
  tls: record,
  minReplicas: count(0),
  minReplicasMs: duration,
  commandTimeoutMs: duration,
  log: withFunctions('a log', 'info', 'warn', 'error'),
};

/** See `openRedis` in open.ts, which loads this file. */
export async function openRedis(options: RedisOptions): Promise<Store> {
  checkOptions('openRedis()', options, redisOptions);
  if (options.url === undefined)
    throw new SkerryError('invalid-definition', 'openRedis() needs a url, such as redis://host:6379');
  const prefix = options.prefix ?? 'skerry';
  checkPrefix(prefix);
  const log = options.log ?? standardLog();
  const urls = typeof options.url === 'string' ? options.url.split(',') : options.url;
  const { user, password, tls, commandTimeoutMs = 5_000 } = options;
  const link = new RedisLink({ urls, isCluster: options.cluster === true, user, password, tls, commandTimeoutMs, log });
  await link.connect();
  try {
    const partitions = await enter(link, prefix, options.partitions);
    const layout = new RedisLayout(prefix, partitions);
    await checkRights(link, layout.lease('probe'));
    await sayWhatIsKept(link, log);
    return new RedisStore(link, layout, {
      id: await identityOf(link, layout.identity),
      log,
      minReplicas: options.minReplicas ?? 0,
      waitMs: options.minReplicasMs ?? 1_000,
    });
  } catch (error) {
    link.close();
    throw error;
  }
}

interface StoreOptions {
  readonly id: string;
  readonly log: Log;
  readonly minReplicas: number;
  readonly waitMs: number;
}

interface Entity {
  readonly partition: Partition;
  readonly address: Address;
}

class RedisStore implements Store {
  readonly id: string;
  readonly partitions: number;
  readonly valueBytesMax = valueBytesMax;
  readonly groupsAtOnce = 1;
  readonly #link: RedisLink;
  readonly #layout: RedisLayout;
  readonly #options: StoreOptions;
  readonly #counters = new RedisCounters();
  readonly #underway = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(link: RedisLink, layout: RedisLayout, options: StoreOptions) {
    this.#link = link;
    this.#layout = layout;
    this.#options = options;
    this.id = options.id;
    this.partitions = layout.partitions;
    link.onAgain = () => void this.#lookAgain();
  }

  // ---- ownership

  claim(partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    return this.#whole(async () => {
      const calls = this.#link.isCluster ? partitions.map((partition) => [partition]) : [partitions];
      const claims = await Promise.all(calls.filter(({ length }) => length > 0).map((one) => this.#claim(one, owner)));
      return claims.flat();
    });
  }

  async #claim(partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    const layout = this.#layout;
    const keys = partitions.flatMap((partition) => [layout.ownership(partition), layout.pins(partition)]);
    const least = partitions.map((partition) => this.#counters.epochOf(partition) + 1);
    const known = partitions.map((partition) => this.#counters.known(partition));
    const reply = await this.#link.run(claimScript, keys, [owner, ...least]);
    return claimsOf(reply, partitions).map((claim, at) => {
      const { partition, epoch, mark } = claim;
      this.#look({ partition, epoch, counter: mark }, known[at]);
      this.#counters.claimed(partition, epoch, mark);
      return claim;
    });
  }

  markOf(partition: Partition, epoch: Epoch): Mark | undefined {
    return this.#counters.markOf(partition, epoch);
  }

  async epochs(partitions: readonly Partition[]): Promise<Epoch[]> {
    const epochs = await Promise.all(partitions.map((partition) => this.#present(partition)));
    return epochs.map((epoch, at) => (this.#counters.isLost(partitions[at] ?? -1, epoch) ? 0 : epoch));
  }

  async #present(partition: Partition): Promise<Epoch> {
    const key = this.#layout.ownership(partition);
    const known = this.#counters.known(partition);
    const present = presentOf(await this.#link.read(key, ['HMGET', key, 'e', 'c']), partition);
    this.#look(present, known);
    return present.epoch;
  }

  async pin(address: Address, partition: Partition, worker: string | undefined): Promise<void> {
    const layout = this.#layout;
    const home = layout.home(partition);
    const raised = [...new Set([home, partition])].map((one) => layout.ownership(one));
    const values = worker === undefined ? [address] : [address, worker];
    await this.#whole(() => this.#link.run(pinScript, [layout.pins(home), ...raised], values));
  }

  async pins(): Promise<Pin[]> {
    const keys = Array.from({ length: this.partitions }, (_, home) => this.#layout.pins(home));
    const replies = await Promise.all(keys.map((key) => this.#link.read(key, ['HGETALL', key])));
    return replies.flatMap(pinsOf).sort(compareAddresses);
  }

  async lease(name: string, holder: string, { now, ms, instead }: LeaseCall): Promise<Lease> {
    const reply = await this.#whole(() =>
      this.#link.run(
        leaseScript,
        [this.#layout.lease(name)],
        [holder, now, ms, instead?.term ?? -1, instead?.until ?? -1],
      ),
    );
    const [had, term, until] = reply as readonly [Buffer, number, Buffer];
    return { holder: String(had), term: Number(term), until: Number(until) };
  }

  // ---- commits

  async commit(group: readonly Commit[]): Promise<Outcome[]> {
    for (const commit of group) refuseTooLarge(commit);
    const outcomes: Outcome[] = new Array(group.length);
    const shares = sharesOf(group, this.#counters, outcomes);
    const calls = callsOf(shares, this.#link.isCluster).map((call) => this.#commitCall(group, call, outcomes));
    const ended = await this.#whole(() => Promise.allSettled(calls));
    const failed = ended.filter((one) => one.status === 'rejected').map(({ reason }) => reason as unknown);
    if (failed.length > 0) throw failureOf(failed, calls.length);
    return outcomes;
  }

  async #commitCall(group: readonly Commit[], shares: readonly Share[], outcomes: Outcome[]): Promise<void> {
    const key = this.#layout.ownership(shares[0]?.partition ?? 0);
    const request = commitRequest(this.#layout, group, shares);
    const known = shares.map(({ partition }) => this.#counters.known(partition));
    for (const share of shares) this.#counters.sent(share);
    const { minReplicas, waitMs } = this.#options;
    const running =
      minReplicas === 0
        ? this.#link.runRequest(commitScript, { key, request }).then((reply) => ({ reply, replicas: undefined }))
        : this.#link.runReplicated(commitScript, { key, request, minReplicas, waitMs });
    const { reply, replicas } = await running.catch((error: unknown) => {
      if (isSkerryError(error) && error.effect === 'none')
        for (const share of shares) this.#counters.answered(share, 0);
      throw error;
    });
    for (const [at, present] of outcomesOf(reply, shares, outcomes).entries()) {
      this.#look(present, known[at]);
      const share = shares[at] as Share;
      this.#counters.answered(share, committedOf(share, outcomes));
    }
    if (replicas !== undefined) await this.#awaitReplicas(replicas);
  }

  /** What was written and is not replicated may be lost with its server: nobody is told of it. */
  async #awaitReplicas(replicas: Promise<Reply>): Promise<void> {
    const { minReplicas, waitMs } = this.#options;
    const count = await replicas.then(Number, (error: unknown) => {
      // Not waited for, but written.
      throw isSkerryError(error)
        ? new SkerryError(error.code, error.message, { effect: 'unknown', cause: error })
        : error;
    });
    if (count >= minReplicas) return;
    throw new SkerryError(
      'store-failed',
      `The store at ${this.#link.where} could not write: only ${count} of ${minReplicas} replicas (minReplicas) confirmed within ${waitMs} ms`,
      { effect: 'unknown' },
    );
  }

  // ---- reading

  async load(entities: readonly Entity[], along?: Along): Promise<(Loaded | undefined)[]> {
    if (along !== undefined) return this.#loadAlong(entities, along);
    return Promise.all(
      entities.map(async ({ partition, address }) => {
        const key = this.#layout.entity(partition, address);
        return loadedOf(await this.#link.read(key, ['HGETALL', key]));
      }),
    );
  }

  async #loadAlong(entities: readonly Entity[], { table, limit }: Along): Promise<(Loaded | undefined)[]> {
    const loaded: (Loaded | undefined)[] = new Array(entities.length);
    const values = [...lexRange(table, undefined), limit];
    const load = async (places: readonly number[]) => {
      const keys = places.flatMap((place) => this.#keysOf(entities[place] as Entity));
      const replies = (await this.#link.run(loadScript, keys, values, 'read')) as readonly Reply[];
      for (const [at, place] of places.entries()) loaded[place] = loadedAlong(replies[at] ?? null);
    };
    const homes = entities.map(({ partition }) => this.#layout.home(partition));
    await Promise.all(placesOf(homes, this.#link.isCluster).map(load));
    return loaded;
  }

  /** Of an entity: what a load reads, its lazy records, their names. */
  #keysOf({ partition, address }: Entity): string[] {
    const layout = this.#layout;
    return [layout.entity, layout.lazyRecords, layout.lazyNames].map((of) => of.call(layout, partition, address));
  }

  async read({ partition, address }: Entity, names: readonly RecordName[]): Promise<(Uint8Array | undefined)[]> {
    const [lazy, eager] = [names.filter(isLazy), names.filter((name) => !isLazy(name))];
    const found = await Promise.all([
      this.#fields(this.#layout.lazyRecords(partition, address), lazy),
      this.#fields(this.#layout.entity(partition, address), eager),
    ]);
    const byName = new Map(found.flat());
    return names.map((name) => byName.get(name));
  }

  async #fields(key: string, names: readonly string[]): Promise<[string, Uint8Array | undefined][]> {
    if (names.length === 0) return [];
    const values = recordsOf(await this.#link.read(key, ['HMGET', key, ...names]));
    return names.map((name, at) => [name, values[at]]);
  }

  async scan(
    { partition, address }: Entity,
    prefix: string,
    { after, limit }: { after?: RecordName; limit: number },
  ): Promise<(readonly [RecordName, Uint8Array])[]> {
    if (limit <= 0) return [];
    const keys = this.#keysOf({ partition, address });
    const isAll = prefix === '' || !isLazy(prefix);
    const values = [...lexRange(prefix, after), limit, isAll ? '1' : '0'];
    return scannedOf(await this.#link.run(scanScript, keys, values, 'read'), { prefix, after, limit });
  }

  async wakes(partition: Partition, { after, limit }: { after?: Wake; limit: number }): Promise<Wake[]> {
    if (limit <= 0) return [];
    const key = this.#layout.wakes(partition);
    const values = after === undefined ? [limit] : [limit, after.wakeAt, after.address];
    return wakesOf(await this.#link.run(wakesScript, [key], values, 'read'));
  }

  async list(type: string | undefined, { after, limit }: { after?: Address; limit: number }): Promise<Address[]> {
    if (limit <= 0) return [];
    const prefix = type === undefined ? '' : `${type}/`;
    const fetch: FetchAddresses = async (home, past, count) => {
      const key = this.#layout.addresses(home);
      const parts = ['ZRANGEBYLEX', key, ...lexRange(prefix, past), 'LIMIT', 0, count];
      return addressesOf(await this.#link.read(key, parts));
    };
    return firstAddresses(fetch, { homes: this.partitions, after, limit });
  }

  // ---- what the server has lost (P8)

  #look(present: Present, known: Known | undefined): void {
    this.#counters.seen(present.partition, present, known);
  }

  readonly onLoss = (tell: (loss: Loss) => void): (() => void) => this.#counters.onLoss(tell);

  /** There is a connection again: is it still the same server, with the same data (SR2)? */
  async #lookAgain(): Promise<void> {
    try {
      // One that came back empty would else be taken for a new store by whoever opens it next, with other partitions.
      await enter(this.#link, this.#layout.prefix, this.partitions);
      await Promise.all(this.#counters.partitions.map((partition) => this.#present(partition)));
    } catch (error) {
      if (!isSkerryError(error)) throw error;
      // Gone again, or closed: the next connection is looked at, and every commit is anyway.
      if (error.code === 'store-format') this.#options.log.error({ store: this.#link.where }, error.message);
    }
  }

  // ---- the end

  #whole<Result>(body: () => Promise<Result>): Promise<Result> {
    const done = body().finally(() => this.#underway.delete(done));
    this.#underway.add(done);
    return done;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underway);
    this.#link.close();
  }
}

function committedOf({ places }: Share, outcomes: readonly Outcome[]): number {
  let count = 0;
  for (const place of places) if (outcomes[place] === 'committed') count += 1;
  return count;
}

/** Of several calls one may have been written though another was not. */
function failureOf(errors: readonly unknown[], callCount: number): unknown {
  const [first] = errors;
  const isNone = errors.every((error) => isSkerryError(error) && error.effect === 'none');
  if (isNone && errors.length < callCount && isSkerryError(first))
    return new SkerryError(first.code, first.message, { effect: 'unknown', cause: first });
  return errors.find((error) => !isSkerryError(error) || error.effect !== 'none') ?? first;
}
