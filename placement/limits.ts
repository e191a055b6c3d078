import { withGiven } from '../core/limits.ts';
import { checkOptions, count, duration } from '../core/options.ts';

/** Every limit of placement, with its name, unit and default. Each is tested at its edge. */
export interface PlacementLimits {
  /** Interval between a worker's announcements, ms. It also bounds how soon a worker notices that no service is running. */
  readonly announceMs: number;
  /** A worker not heard for this long is pinged, ms. The default is four missed announcements. */
  readonly suspectMs: number;
  /** A worker not heard for this long, pings included, is removed from the view, ms. It should exceed a long garbage collection. */
  readonly deadMs: number;
  /** Interval between pings to a worker that does not answer, ms. Further absence reports in between wait for the result. */
  readonly pingMs: number;
  /** Changes within this time are published as one view, ms, because each view moves partitions. */
  readonly gatherMs: number;
  /** Interval at which pins are read from the store, ms: a process that pins may crash before it notifies the service. */
  readonly readPinsMs: number;
  /** Interval at which the view is published again for processes that missed it, ms. */
  readonly republishMs: number;
  /** Interval at which the service checks for silent workers, ms. It adds at most this to `suspectMs` and `deadMs`. */
  readonly checkMs: number;
  /** A step that is late by this much means that the process was paused, ms: workers were then not silent, only unheard. */
  readonly lagMs: number;
  /** How long the ids of replaced and departed workers are refused, ms. It must exceed any pause of a process. */
  readonly rememberMs: number;
  /** Duration of the service's lease for a worker that sees it for the first time, ms. It must exceed `skewMaxMs`. */
  readonly leaseMs: number;
  /** Interval at which the holder renews the lease, ms. */
  readonly renewMs: number;
  /** A worker that hears no service and sees no renewal for this long takes the lease, ms. The default is two missed renewals. */
  readonly lapseMs: number;
  /** How long a service that lost most workers at once does not renew, ms: `silentMs`, `lapseMs` and a pause. */
  readonly yieldMs: number;
  /** A worker without a view for this long tries to take over the service, ms. The default is three missed views. */
  readonly silentMs: number;
  /** Maximum random wait before a worker tries to take over the service, ms, so that usually only one tries. */
  readonly pauseMs: number;
  /** Maximum wait for a store that does not answer, and for an echo, ms. */
  readonly graceMs: number;
  /** Workers in a view; further ones are rejected. A view of this many must fit into one frame. */
  readonly workerCountMax: number;
  /** Labels of a worker. The same limit applies to the labels of a type that it hosts. */
  readonly labelCountMax: number;
  /** Types that a worker hosts. */
  readonly hostedTypeCountMax: number;
  /** Characters of a worker's name, id or version, and of a label. Names are part of subjects. */
  readonly workerNameLengthMax: number;
  /** Ids of departed workers that are remembered; beyond it the oldest are dropped. */
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

/** Throws `invalid-definition` for an unknown name, and for an invalid value. */
export function checkPlacementLimits(given: object): void {
  const names = Object.keys(defaultPlacementLimits) as (keyof PlacementLimits)[];
  const table = Object.fromEntries(names.map((name) => [name, name.endsWith('Ms') ? duration : count(1)]));
  checkOptions('placementLimits', given, table);
}

/** The placement limits that an application sets. Those that are absent or undefined have their defaults. */
export type GivenPlacementLimits = { readonly [Name in keyof PlacementLimits]?: PlacementLimits[Name] | undefined };

export function placementLimitsOf(given: GivenPlacementLimits | undefined): PlacementLimits {
  return withGiven(defaultPlacementLimits, given);
}
