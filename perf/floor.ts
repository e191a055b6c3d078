/** A floor: the same work without Skerry, as plainly as possible, under the same load. */
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
  /** The part in the generator. */
  open(given: FloorGiven): Promise<{ readonly call: Call; close(): Promise<void> }>;
  /** The part in its own process, if the floor has another side. Resolves with the function that ends it. */
  readonly respond?: (site: Site) => Promise<() => Promise<void>>;
}
