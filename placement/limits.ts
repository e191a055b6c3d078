import { withGiven } from '../core/limits.ts';
import { checkOptions, count, duration } from '../core/options.ts';

/** Every limit of placement: its name, unit, default and the reason for it. One home; tests stand at each edge. */
export interface PlacementLimits {
  /** A worker announces itself this often, ms. Also bounds how soon it notices that nobody runs the service. */
  readonly announceMs: number;
  /** A worker that was not heard for this long is pinged, ms: by then it has missed four announcements. */
  readonly suspectMs: number;
  /** A worker that was not heard for this long, pings included, leaves the view, ms: longer than a bad garbage collection. */
  readonly deadMs: number;
  /** An unanswered ping is repeated after this, ms. Until then further reports of absence wait for its result. */
  readonly pingMs: number;
  /** Workers that join, change or start to leave within this are published as one view, ms: each view moves partitions. */
  readonly gatherMs: number;
  /** The pins are read again this often, ms: the process that pinned may have crashed before it told the service. */
  readonly readPinsMs: number;
  /** The view is published again this often for those who lost it, ms. */
  readonly republishMs: number;
  /** The service looks for silent workers this often, ms: what it adds to `suspectMs` and `deadMs` at most. */
  readonly checkMs: number;
  /** A step that comes this much too late means that the process was paused: what it missed is nobody's silence, ms. */
  readonly lagMs: number;
  /** Ids that were replaced or have left never come back for this long, ms: longer than any pause of a process. */
  readonly rememberMs: number;
  /** The lease of the service, ms: over for who never looked at it before. Longer than clocks differ (`skewMaxMs`). */
  readonly leaseMs: number;
  /** Its holder renews it this often, ms. */
  readonly renewMs: number;
  /** Who does not hear the service and sees no renewal for this long takes the lease, ms: two were missed. */
  readonly lapseMs: number;
  /** A service that has lost most of the workers at once does not renew for this long, ms: `silentMs`, `lapseMs` and a pause. */
  readonly yieldMs: number;
  /** Without a view for this long somebody else takes the service over, ms: three were lost, or its holder hangs. */
  readonly silentMs: number;
  /** Whoever takes the service over first waits for a random part of this, ms: so mostly one tries. */
  readonly pauseMs: number;
  /** A store that could not be asked, and an echo that did not come, are waited for this long, ms. */
  readonly graceMs: number;
  /** Workers in a view; further ones are refused. A view of this many must still fit into a frame. */
  readonly workerCountMax: number;
  /** Labels of a worker, and again of a type that it hosts. */
  readonly labelCountMax: number;
  /** Types that a worker hosts. */
  readonly hostedTypeCountMax: number;
  /** Characters of a worker's name, id, version, and of a label. They are parts of subjects. */
  readonly workerNameLengthMax: number;
  /** Ids that are remembered after their workers are gone; beyond it the oldest are forgotten. */
  readonly rememberedCountMax: number;
}

export const defaultPlacementLimits: PlacementLimits = {
  announceMs: 250,
  suspectMs: 1_000,
  deadMs: 3_000,
  pingMs: 500,
  gatherMs: 50,
  readPinsMs: 5_000,
  republishMs: 1_000,
  checkMs: 100,
  lagMs: 250,
  rememberMs: 600_000,
  leaseMs: 60_000,
  renewMs: 200,
  lapseMs: 450,
  yieldMs: 4_000,
  silentMs: 3_000,
  pauseMs: 50,
  graceMs: 500,
  workerCountMax: 1_000,
  labelCountMax: 32,
  hostedTypeCountMax: 256,
  workerNameLengthMax: 64,
  rememberedCountMax: 4_096,
};

/** Throws `invalid-definition` for a name that is none, and a value that is no number of at least 0. */
export function checkPlacementLimits(given: object): void {
  const names = Object.keys(defaultPlacementLimits) as (keyof PlacementLimits)[];
  const table = Object.fromEntries(names.map((name) => [name, name.endsWith('Ms') ? duration : count(1)]));
  checkOptions('placementLimits', given, table);
}

/** As an application gives them: those that it leaves out, or gives as undefined, are the default ones. */
export type GivenPlacementLimits = { readonly [Name in keyof PlacementLimits]?: PlacementLimits[Name] | undefined };

export function placementLimitsOf(given: GivenPlacementLimits | undefined): PlacementLimits {
  return withGiven(defaultPlacementLimits, given);
}
