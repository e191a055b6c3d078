/**
 * How many durable turns per second does one process make, beside bare LMDB commits of the same bytes in the same run?
 *
 *     npm run perf -- durable [--seconds 3] [--repeats 3]
 *
 * The floor is what Skerry's store must do at least: check a version, put a head and one record, flushed before the
 * answer, everything that waits in one transaction. Both keep the same number of calls in flight over the same keys.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { embed } from '../runtime/index.ts';
import { Counter, counter } from './counter.ts';
import { closedLoop, type Figures, median } from './measure.ts';

const keyCount = 10_000;
/** Bytes of a counter's head and of its client's activity record, read off a stored entity. */
const headBytes = 44;
const recordBytes = 46;

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
      process.stderr.write(`  ${inFlight} in flight: bare ${Math.round(floor.perSecond)}/s p50 ${floor.p50Us} µs; turns ${Math.round(mine.perSecond)}/s p50 ${mine.p50Us} µs\n`);
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
    return await closedLoop({ inFlight, seconds }, (count) => entities[(count * 7_919) % keyCount]?.add({ by: 1 }) as Promise<number>);
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true });
  }
}

async function bare(inFlight: number, seconds: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-floor-'));
  const database: RootDatabase<Buffer, string> = open({ path: folder, encoding: 'binary', overlappingSync: false, noSubdir: false });
  const floor = new Floor(database);
  try {
    return await closedLoop({ inFlight, seconds }, (count) => floor.commit(`counter-${(count * 7_919) % keyCount}`));
  } finally {
    await database.close();
    rmSync(folder, { recursive: true });
  }
}

class Floor {
  readonly #database: RootDatabase<Buffer, string>;
  #waiting: { key: string; done: () => void }[] = [];
  #isUnderWay = false;

  constructor(database: RootDatabase<Buffer, string>) {
    this.#database = database;
  }

  commit(key: string): Promise<void> {
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
    await this.#database.transaction(() => {
      for (const { key } of group) {
        const version = this.#database.getBinary(`h${key}`)?.readDoubleLE(0) ?? 0;
        const head = Buffer.alloc(headBytes);
        head.writeDoubleLE(version + 1);
        this.#database.put(`h${key}`, head);
        this.#database.put(`p${key}`, Buffer.alloc(recordBytes));
      }
    });
    for (const { done } of group) done();
    if (this.#waiting.length > 0) setImmediate(() => void this.#flush());
    else this.#isUnderWay = false;
  }
}
