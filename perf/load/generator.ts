/**
 * A load generator: executes the coordinator's requests one at a time, and keeps a journal of its own calls.
 *
 *     open ─▶ prepare ─▶ run … ─▶ journal ─▶ check ─▶ close          floor: the same load without Skerry
 */

import { chanceOf, zipf } from '../../runtime/testing/chance.ts';
import { floorOf } from '../floors/all.ts';
import type { Entries, Fault, Load, Measured, Site, Work } from '../plan.ts';
import type { Duties } from '../processes/process-rpc.ts';
import { openPost, type Post, takeHolding } from '../processes/process-setup.ts';
import { ownUsage } from '../processes/usage.ts';
import type { Stand } from '../scenario.ts';
import { scenarioOf } from '../scenarios/all.ts';
import { Journal } from './journal.ts';
import { drive, thingsSoFar } from './load.ts';

export interface Part {
  readonly work: Work;
  readonly load: Load;
}

export interface FloorPart {
  readonly floor: string;
  readonly site: Site;
  readonly work: Work;
  readonly load: Load;
}

/** Resolves when the floor has stored what it needs before it is measured. */
const fillMs = 300_000;

const idleLoad: Load = { index: 0, of: 1, lanes: 1, delayMs: 0, warmupMs: 0, durationMs: 0 };

export class Generator {
  readonly #name: string;
  #post: Post | undefined;
  #stand: Stand | undefined;
  #journal = new Journal();

  constructor(name: string) {
    this.#name = name;
  }

  readonly duties: Duties = {
    open: async (site: Site) => {
      await this.#post?.close();
      this.#journal = new Journal();
      this.#post = await openPost(site);
    },
    prepare: async ({ work, load }: Part) => {
      await scenarioOf(work.scenario).prepare?.(this.#at({ work, load }));
    },
    run: ({ work, load }: Part) => scenarioOf(work.scenario).run(this.#at({ work, load })),
    floor: (part: FloorPart) => runFloor(part),
    reopen: () => this.#opened.reopen(),
    fault: async ({ kind, number }: { kind: Fault['kind']; number: number }) => {
      let hit = '';
      await this.#opened.fault(kind, number, (worker) => {
        hit = worker;
        this.#stand?.onFault(kind, worker);
      });
      return hit;
    },
    happened: ({ kind, worker }: { kind: Fault['kind']; worker: string }) => this.#stand?.onFault(kind, worker),
    journal: () => this.#journal.entries,
    check: ({ work, entries }: { work: Work; entries: Entries }) => {
      const check = scenarioOf(work.scenario).check;
      return check?.(this.#at({ work, load: idleLoad }), entries) ?? { lost: 0, doubled: 0, checked: 0 };
    },
    usage: () => ownUsage(this.#name, { ...this.#post?.counts, turns: this.#post?.turns() ?? 0 }),
    extra: () => takeHolding(this.#post?.holding),
    progress: () => thingsSoFar(),
    close: async () => {
      await this.#post?.close();
      this.#post = undefined;
    },
  };

  get #opened(): Post {
    if (this.#post === undefined) throw new Error('nothing is open');
    return this.#post;
  }

  #at({ work, load }: Part): Stand {
    const chance = chanceOf(load.index + 1);
    this.#stand = {
      work,
      load,
      post: this.#opened,
      journal: this.#journal,
      chance,
      pick: zipf(work.keys, chance, work.skew),
      onFault: () => undefined,
    };
    return this.#stand;
  }
}

async function runFloor({ floor, site, work, load }: FloorPart): Promise<Measured> {
  const chance = chanceOf(load.index + 1);
  const size = work.growth?.size;
  let pick = zipf(size ?? work.keys, chance, work.skew);
  const { call, close } = await floorOf(floor).open({ site, work, lanes: load.lanes, pick: () => pick() });
  try {
    if (size !== undefined) {
      const random = pick;
      let next = 0;
      pick = () => next++ % size;
      await drive(call, { ...load, warmupMs: 0, durationMs: fillMs, callsMax: size });
      pick = random;
    }
    return await drive(call, load);
  } finally {
    await close();
  }
}
