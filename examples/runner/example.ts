/**
 * An example as the runner knows it: what it hosts, what one transaction of it is, and how its end is judged.
 *
 * Owns the interface between the two. The runner owns time, clients, faults and figures; the example owns what is right.
 */
import type { Behaviour } from '../../core/index.ts';
import type { Cluster } from '../../runtime/index.ts';
import type { Chance } from '../../runtime/testing/chance.ts';

/** An option of one example, beside those that all have. */
export interface OwnOption {
  /** As in help: `<count>`. */
  readonly value: string;
  readonly description: string;
  readonly default: string;
  /** What is wrong with a text, such as 'takes a whole number from 2'; undefined: nothing. */
  readonly problem: (text: string) => string | undefined;
}

export interface Example {
  readonly name: string;
  readonly summary: string;
  /** What it counts, such as 'transfers'. */
  readonly unit: string;
  /** `import.meta.url` of a module that exports its behaviours: workers of a cluster load it. */
  readonly app: string;
  readonly behaviours: readonly Behaviour[];
  readonly options: Readonly<Record<string, OwnOption>>;
  /** Prepares the entities. What it returns is run. */
  readonly open: (given: Given) => Promise<Story>;
}

export interface Given {
  readonly cluster: Cluster;
  /** Of its own options, by name. */
  readonly options: Readonly<Record<string, string>>;
  /** The same for the same seed. */
  readonly chance: Chance;
  /** How many transactions are under way at once. */
  readonly clients: number;
  /** Something that somebody who watches should know. */
  readonly note: (text: string) => void;
  /** Aborted when the run is given up. */
  readonly signal: AbortSignal;
}

export interface Story {
  /** One transaction. Resolves when its caller has been told what became of it. */
  transact(): Promise<void>;
  /** What goes on beside the transactions until the signal aborts. */
  beside?(signal: AbortSignal): Promise<void>;
  /** The address of an entity that is to be moved. */
  anyAddress(): string;
  /** How it goes, for the line of progress: '12 audits'. */
  progress?(): string;
  /** Transactions have ended and every worker is back. Resolves when nothing is under way any more, with what came of it. */
  finish(): Promise<Findings>;
}

export interface Findings {
  /** Of the table at the end. */
  readonly rows: readonly (readonly [what: string, figure: number | string])[];
  /** Further numbers for the line of JSON. */
  readonly facts: Readonly<Record<string, number>>;
  /** What must not be, in words; none: all is right. */
  readonly anomalies: readonly string[];
}
