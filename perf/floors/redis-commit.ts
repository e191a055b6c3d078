/**
 * Bare Redis: checks the partition's epoch and the entity's version and writes three fields as large as Skerry's. Everything that
 * starts in one tick is one pipeline. One entity per call, or 16. The only file of perf that imports ioredis.
 */
import { Redis } from 'ioredis';
import type { Floor, FloorGiven } from '../floor.ts';
import type { Lane } from '../load/load.ts';

const head = Buffer.alloc(55, 'h');
const record = Buffer.alloc(45, 'r');
const partitions = 256;
const entitiesACall = 16;

/** KEYS: epoch, entity … ARGV: epoch, head, record, and for each entity its present and its next version. */
const script = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'stale-epoch' end
for index = 2, #KEYS do
  if (redis.call('HGET', KEYS[index], 'v') or '0') ~= ARGV[2 * index] then return 'stale-version' end
end
for index = 2, #KEYS do
  redis.call('HSET', KEYS[index], 'v', ARGV[2 * index + 1], 'h', ARGV[2], 'p', ARGV[3])
end
return 'committed'`;

export function redisOf({ site }: Pick<FloorGiven, 'site'>): { redis: Redis; prefix: string } {
  if (site.store.kind !== 'redis') throw new Error('this floor needs Redis');
  return { redis: new Redis(site.store.url), prefix: `${site.store.prefix}-floor` };
}

class Bare {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #entities: number;
  readonly #versions = new Map<number, number>();
  #sha = '';
  #waiting: Lane[] = [];

  constructor({ redis, prefix }: { redis: Redis; prefix: string }, entities: number) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#entities = entities;
  }

  async open(): Promise<void> {
    this.#sha = (await this.#redis.script('LOAD', script)) as string;
    for (let partition = 0; partition < partitions; partition++)
      await this.#redis.set(`${this.#prefix}:epoch:${partition}`, '1');
  }

  readonly commit = (lane: Lane): undefined => {
    if (this.#waiting.length === 0) setImmediate(() => this.#send());
    this.#waiting.push(lane);
  };

  #send(): void {
    const lanes = this.#waiting;
    this.#waiting = [];
    const pipeline = this.#redis.pipeline();
    for (let from = 0; from < lanes.length; from += this.#entities) {
      const group = lanes.slice(from, from + this.#entities);
      const { keys, values } = this.#wordsOf(group);
      pipeline.evalsha(this.#sha, keys.length, ...keys, ...values, (error, outcome) => {
        for (const lane of group) {
          if (outcome === 'committed') lane.done();
          else lane.failed(error ?? new Error(String(outcome)));
        }
      });
    }
    void pipeline.exec();
  }

  /** One connection keeps the order, so versions are counted here. An entity that occurs twice is written once. */
  #wordsOf(group: readonly Lane[]): { keys: string[]; values: (string | Buffer)[] } {
    const keys = [`${this.#prefix}:epoch:${(group[0]?.key ?? 0) % partitions}`];
    const values: (string | Buffer)[] = ['1', head, record];
    for (const key of new Set(group.map((lane) => lane.key))) {
      const version = this.#versions.get(key) ?? 0;
      this.#versions.set(key, version + 1);
      keys.push(`${this.#prefix}:entity:${key}`);
      values.push(String(version), String(version + 1));
    }
    return { keys, values };
  }

  async close(): Promise<void> {
    await this.#redis.quit();
  }
}

function bareOf(entities: number): Floor['open'] {
  return async (given) => {
    const { redis, prefix } = redisOf(given);
    const bare = new Bare({ redis, prefix: `${prefix}-${entities}-${given.work.run}` }, entities);
    await bare.open();
    return {
      call: (lane) => {
        lane.key = given.pick();
        return bare.commit(lane);
      },
      close: () => bare.close(),
    };
  };
}

export const redisCommit: Floor = {
  name: 'redis-commit',
  summary: 'bare pipelined Redis commits, one entity a call',
  open: bareOf(1),
};

export const redisCommit16: Floor = {
  name: 'redis-commit-16',
  summary: `bare pipelined Redis commits, ${entitiesACall} entities a call`,
  open: bareOf(entitiesACall),
};
