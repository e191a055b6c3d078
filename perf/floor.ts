/** What a floor is: the same thing done bare, as plainly as possible, driven by the same load. */
import type { Call } from './load/load.ts';
import type { Site, Work } from './plan.ts';

export interface FloorGiven {
  readonly site: Site;
  readonly work: Work;
  readonly lanes: number;
  /** The next key's number. */
  readonly pick: () => number;
}

export interface Floor {
  readonly name: string;
  readonly summary: string;
  /** In the generator. */
  open(given: FloorGiven): Promise<{ readonly call: Call; close(): Promise<void> }>;
  /** In a process of its own, if the floor has another side; resolves with what ends it. */
  readonly respond?: (site: Site) => Promise<() => Promise<void>>;
}
