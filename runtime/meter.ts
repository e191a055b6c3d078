/**
 * What a node counts: each counter has a name of a closed table, which `docs/operations.md` lists; a test compares.
 *
 * A node (a worker with its router, or a client) has counters of its own, which its figures and reports read. An application that
 * collects metrics gives a `Meter` in its environment, and is told of each step; without one a step is an addition.
 */

/** The meaning of each name, as quoted in `docs/operations.md`. */
export const counterNames = {
  turns: 'Turns that were run, also those that threw.',
  commits: 'Commits of entities that were sent to the store.',
  groups: 'Groups of commits that were sent to the store.',
  'groups-concluded': 'Groups that the store has accepted, refused or failed.',
  overloaded: 'Arrivals for which there was no room.',
  moved: 'Partitions that came to the worker.',
  forwarded: 'Envelopes that were sent on to where their entity is.',
  'envelopes-skipped': 'Envelopes that only a later version understands.',
  'frames-refused': 'Frames, and envelopes in them, that are not well formed or come from the wrong place.',
  'requests-refused': 'Requests of tools that are not well formed, or ask for an answer at the wrong place.',
  'sweep-passes': 'Activations that a sweep has looked at.',
  'agreements-opened': 'Agreements that were opened, each by its hub.',
  'agreements-confirmed': 'Agreements that were decided to confirm.',
  'agreements-cancelled-declined': 'Agreements that were cancelled because too many parties refused or failed.',
  'agreements-cancelled-rule': 'Agreements that were cancelled by a rule.',
  'agreements-cancelled-cancelled': 'Agreements that were cancelled by the application.',
  'agreements-cancelled-deadline': 'Agreements that were cancelled at their deadline.',
  'agreements-cancelled-lapsing': 'Agreements that were cancelled because a hold would have ended too early.',
  'agreements-broken': 'Parties that were to be confirmed and were not, when the application heard of it.',
  'agreements-settled': 'Agreements whose parties have all heard the decision.',
} as const;

export type CounterName = keyof typeof counterNames;

/** Collects metrics. It is called while messages are processed: it must be fast and must not throw. */
export interface Meter {
  count(name: CounterName, by: number): void;
}

export class Counter {
  readonly #name: CounterName;
  readonly #meter: Meter | undefined;
  #sum = 0;

  constructor(name: CounterName, meter: Meter | undefined) {
    this.#name = name;
    this.#meter = meter;
  }

  /** Since the node started. */
  get sum(): number {
    return this.#sum;
  }

  add(by = 1): void {
    this.#sum += by;
    if (this.#meter !== undefined) this.#meter.count(this.#name, by);
  }
}

/** The counters of one node. */
export class Counters {
  readonly #byName: ReadonlyMap<CounterName, Counter>;

  constructor(meter?: Meter) {
    const names = Object.keys(counterNames) as CounterName[];
    this.#byName = new Map(names.map((name) => [name, new Counter(name, meter)]));
  }

  of(name: CounterName): Counter {
    const counter = this.#byName.get(name);
    if (counter === undefined) throw new Error(`Skerry bug, please report: there is no counter ${name}`);
    return counter;
  }

  sumOf(name: CounterName): number {
    return this.of(name).sum;
  }
}
