/**
 * Bare LMDB: checks the partition's epoch and the entity's version and puts one value as large as Skerry's, flushed before the
 * answer. Everything that waits goes into one transaction.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Floor } from '../floor.ts';
import type { Lane } from '../load/load.ts';

/** Bytes of a counter's head with its version and one client, as measured on a stored entity. */
const valueBytes = 133;
const partitions = 256;

class Bare {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #heads: Database<Buffer, string>;
  #waiting: Lane[] = [];
  #isUnderWay = false;

  constructor(folder: string) {
    this.#root = open({ path: folder, encoding: 'binary', overlappingSync: false, noSubdir: false });
    this.#heads = this.#root.openDB({ name: 'heads', encoding: 'binary' });
    for (let partition = 0; partition < partitions; partition++)
      this.#root.putSync(`epoch/${partition}`, Buffer.alloc(16));
  }

  commit(lane: Lane): void {
    this.#waiting.push(lane);
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    setImmediate(() => void this.#flush());
  }

  async #flush(): Promise<void> {
    const group = this.#waiting;
    this.#waiting = [];
    await this.#root.transaction(() => this.#write(group));
    for (const lane of group) lane.done();
    if (this.#waiting.length > 0) setImmediate(() => void this.#flush());
    else this.#isUnderWay = false;
  }

  #write(group: readonly Lane[]): void {
    const epochs = new Map<number, number>();
    for (const { key } of group) {
      const partition = key % partitions;
      if (!epochs.has(partition))
        epochs.set(partition, this.#root.getBinary(`epoch/${partition}`)?.readDoubleLE(0) ?? 0);
      const address = `counter/counter-${key}`;
      const version = this.#heads.getBinary(address)?.readDoubleLE(0) ?? 0;
      const value = Buffer.alloc(valueBytes);
      value.writeDoubleLE(version + 1);
      this.#heads.putSync(address, value);
    }
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

export const lmdbCommit: Floor = {
  name: 'lmdb-commit',
  summary: 'bare LMDB commits, flushed, all that wait in one transaction',
  open: async ({ site, pick, work }) => {
    if (site.store.kind !== 'lmdb') throw new Error('this floor needs a folder');
    const folder = join(site.store.folder, `floor-${work.run}`);
    mkdirSync(folder, { recursive: true });
    const bare = new Bare(folder);
    return {
      call: (lane) => {
        lane.key = pick();
        bare.commit(lane);
        return undefined;
      },
      close: () => bare.close(),
    };
  },
};
