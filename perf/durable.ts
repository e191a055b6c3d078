/**
 * How many durable turns per second does one process make, beside bare LMDB commits of the same bytes in the same run?
 *
 *     npm run perf -- durable [--seconds 3] [--repeats 3]
 *
 * The floor is what Skerry's store must do at least: check the partition's epoch and the entity's version, put a head
 * and one record of the same bytes under keys of the same bytes, flushed before the answer, everything that waits in one
 * transaction. Both keep the same number of calls in flight over the same keys.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { embed } from '../runtime/index.ts';
import { Counter, counter } from './counter.ts';
import { closedLoop, type Figures, median } from './measure.ts';

const keyCount = 10_000;
/** Bytes of a counter's head with its version and of its client's activity record and name, read off a stored entity. */
const headBytes = 55;
const recordBytes = 45;
const recordName = 'p@AAAAAAAAAAAAAAAA';
const partitions = 256;

interface Options {
  readonly seconds: number;
  readonly repeats: number;
}

export async function durable({ seconds, repeats }: Options): Promise<object> {
  const rows: object[] = [];
  for (const inFlight of [1, 1_024]) {
    const ratios: number[] = [];
    const floors: Figures[] = [];
    const ours: Figures[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      const floor = await bare(inFlight, seconds);
      const mine = await turns(inFlight, seconds);
      floors.push(floor);
      ours.push(mine);
      ratios.push(mine.perSecond / floor.perSecond);
      process.stderr.write(
        `  ${inFlight} in flight: bare ${Math.round(floor.perSecond)}/s p50 ${floor.p50Us} µs; turns ${Math.round(mine.perSecond)}/s p50 ${mine.p50Us} µs\n`,
      );
    }
    rows.push({
      inFlight,
      barePerSecond: Math.round(median(floors.map((one) => one.perSecond))),
      turnsPerSecond: Math.round(median(ours.map((one) => one.perSecond))),
      ratio: Number(median(ratios).toFixed(2)),
      bareP50Us: median(floors.map((one) => one.p50Us)),
      turnsP50Us: median(ours.map((one) => one.p50Us)),
      turnsP99Us: median(ours.map((one) => one.p99Us)),
    });
  }
  return { question: 'durable', store: 'lmdb, flushed before each answer', keys: keyCount, seconds, repeats, rows };
}

export async function turns(inFlight: number, seconds: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-perf-'));
  const cluster = await embed({ behaviours: [counter], store: folder });
  try {
    const entities = Array.from({ length: keyCount }, (_, index) => cluster.entity(Counter, `counter-${index}`));
    return await closedLoop(
      { inFlight, seconds },
      (count) => entities[(count * 7_919) % keyCount]?.add({ by: 1 }) as Promise<number>,
    );
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true });
  }
}

async function bare(inFlight: number, seconds: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-floor-'));
  const floor = new Floor(folder);
  try {
    return await closedLoop({ inFlight, seconds }, (count) => floor.commit((count * 7_919) % keyCount));
  } finally {
    await floor.close();
    rmSync(folder, { recursive: true });
  }
}

class Floor {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #heads: Database<Buffer, string>;
  readonly #records: Database<Buffer, string>;
  #waiting: { key: number; done: () => void }[] = [];
  #isUnderWay = false;

  constructor(folder: string) {
    this.#root = open({ path: folder, encoding: 'binary', overlappingSync: false, noSubdir: false });
    this.#heads = this.#root.openDB({ name: 'heads', encoding: 'binary' });
    this.#records = this.#root.openDB({ name: 'records', encoding: 'binary' });
    for (let partition = 0; partition < partitions; partition++)
      this.#root.putSync(`epoch/${partition}`, Buffer.alloc(16));
  }

  commit(key: number): Promise<void> {
    return new Promise((done) => {
      this.#waiting.push({ key, done });
      if (!this.#isUnderWay) {
        this.#isUnderWay = true;
        setImmediate(() => void this.#flush());
      }
    });
  }

  async #flush(): Promise<void> {
    const group = this.#waiting;
    this.#waiting = [];
    await this.#root.transaction(() => this.#write(group));
    for (const { done } of group) done();
    if (this.#waiting.length > 0) setImmediate(() => void this.#flush());
    else this.#isUnderWay = false;
  }

  #write(group: readonly { key: number }[]): void {
    const epochs = new Map<number, number>();
    for (const { key } of group) {
      const partition = key % partitions;
      if (!epochs.has(partition))
        epochs.set(partition, this.#root.getBinary(`epoch/${partition}`)?.readDoubleLE(0) ?? 0);
      const address = `counter/counter-${key}`;
      const version = this.#heads.getBinary(address)?.readDoubleLE(0) ?? 0;
      const head = Buffer.alloc(headBytes);
      head.writeDoubleLE(version + 1);
      this.#heads.putSync(address, head);
      this.#records.putSync(`00${address}${recordName}`, Buffer.alloc(recordBytes));
    }
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}
