/**
 * The search of an enumeration: breadth first, each situation once, with the shortest way to what is wrong.
 *
 * Owns the order, the bound, and the ways back. Of each situation it keeps how it was first reached; the text of a way is made by going it
 * again.
 *
 * Invariants:
 * - EI7 All situations that can be reached are looked at, or the search throws: it never ends early without a word.
 * - EI8 What is wrong is told by a way that no other is shorter than.
 */
import { SkerryError } from '../../core/errors.ts';
import type { StepKind } from './step-text.ts';
import type { Situation, Step, Steps } from './steps.ts';

/** What is wrong, and the steps that lead there. */
export interface Found {
  readonly problem: string;
  readonly way: readonly Step[];
}

export interface Visits {
  /** What is wrong with a situation; undefined: nothing. */
  check(situation: Situation, isOver: boolean): string | undefined;
  /** What else to say where there are too many. */
  hint(): string;
}

export class Search {
  readonly #steps: Steps;
  readonly #start: Situation;
  readonly #visits: Visits;
  readonly #statesMax: number;
  readonly #seen = new Map<string, number>();
  /** By situation: the one that it was first reached from, and by which of its steps. */
  readonly #origins: number[] = [];
  readonly #choices: number[] = [];
  /** From and to, in pairs. */
  readonly #edges: number[] = [];
  readonly #ends: number[] = [];
  readonly counts = new Map<StepKind, number>();
  transitions = 0;
  depth = 0;

  constructor(steps: Steps, start: Situation, visits: Visits, statesMax: number) {
    this.#steps = steps;
    this.#start = start;
    this.#visits = visits;
    this.#statesMax = statesMax;
  }

  get states(): number {
    return this.#origins.length;
  }

  get ends(): number {
    return this.#ends.length;
  }

  /** What is wrong; undefined: nothing. */
  run(): Found | undefined {
    this.#visit(this.#start, -1, 0);
    let level: Situation[] = [this.#start];
    let first = 0;
    while (level.length > 0) {
      const next: Situation[] = [];
      for (const [offset, situation] of level.entries()) {
        const found = this.#expand(situation, first + offset, next);
        if (found !== undefined) return found;
      }
      first += level.length;
      level = next;
      if (level.length > 0) this.depth += 1;
    }
    return this.#endless();
  }

  #expand(situation: Situation, index: number, next: Situation[]): Found | undefined {
    const steps = this.#steps.from(situation);
    // A client may ask again, but need not.
    const isOver = steps.every(({ kind }) => kind === 'repeat');
    const problem = this.#visits.check(situation, isOver);
    if (problem !== undefined) return { problem, way: this.#wayTo(index) };
    if (isOver) this.#ends.push(index);
    for (const [choice, step] of steps.entries()) {
      this.transitions += 1;
      this.counts.set(step.kind, (this.counts.get(step.kind) ?? 0) + 1);
      if (step.problem !== undefined) return { problem: step.problem, way: [...this.#wayTo(index), step] };
      if (this.#visit(step.next, index, choice)) next.push(step.next);
    }
    return undefined;
  }

  /** Returns whether it is new. */
  #visit(situation: Situation, origin: number, choice: number): boolean {
    const key = this.#steps.keyOf(situation);
    const known = this.#seen.get(key);
    if (origin >= 0) this.#edges.push(origin, known ?? this.states);
    if (known !== undefined) return false;
    if (this.states >= this.#statesMax) throw this.#tooMany();
    this.#seen.set(key, this.states);
    this.#origins.push(origin);
    this.#choices.push(choice);
    return true;
  }

  #tooMany(): SkerryError {
    return new SkerryError(
      'too-large',
      `enumerate() has found statesMax (${this.#statesMax.toLocaleString('en')}) situations, and there are more: it has proved nothing. Leave out a fault, a call or a party, or raise statesMax. ${this.#visits.hint()}`,
    );
  }

  #wayTo(index: number): Step[] {
    const choices: number[] = [];
    for (let at = index; (this.#origins[at] ?? -1) >= 0; at = this.#origins[at] as number)
      choices.push(this.#choices[at] as number);
    const way: Step[] = [];
    let situation = this.#start;
    for (const choice of choices.reverse()) {
      const step = this.#steps.from(situation)[choice] as Step;
      way.push(step);
      situation = step.next;
    }
    return way;
  }

  /** A situation from which no end can be reached. */
  #endless(): Found | undefined {
    const before = this.#edgesBack();
    const isEnding = new Uint8Array(this.states);
    const pending = [...this.#ends];
    for (const end of pending) isEnding[end] = 1;
    for (let index = pending.pop(); index !== undefined; index = pending.pop())
      for (let at = before.starts[index] as number; at < (before.starts[index + 1] as number); at++) {
        const origin = before.origins[at] as number;
        if (isEnding[origin] === 1) continue;
        isEnding[origin] = 1;
        pending.push(origin);
      }
    const first = isEnding.indexOf(0);
    if (first < 0) return undefined;
    return { problem: 'From here it never ends, whatever happens', way: this.#wayTo(first) };
  }

  /** For each situation those that lead to it, one after the other. */
  #edgesBack(): { readonly starts: Uint32Array; readonly origins: Uint32Array } {
    const edges = Uint32Array.from(this.#edges);
    const counts = new Uint32Array(this.states);
    for (let at = 1; at < edges.length; at += 2)
      counts[edges[at] as number] = (counts[edges[at] as number] as number) + 1;
    const starts = new Uint32Array(this.states + 1);
    for (const [index, count] of counts.entries()) starts[index + 1] = (starts[index] as number) + count;
    const origins = new Uint32Array(edges.length / 2);
    for (let at = 0; at < edges.length; at += 2) {
      const to = edges[at + 1] as number;
      const left = (counts[to] as number) - 1;
      counts[to] = left;
      origins[(starts[to] as number) + left] = edges[at] as number;
    }
    return { starts, origins };
  }
}
