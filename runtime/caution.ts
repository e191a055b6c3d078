/**
 * Caution: what may have ended its worker's process is noted in the store before it runs again, so that its tries are
 * counted also where no turn came back (a process that exits, runs out of memory, or spins until somebody ends it).
 *
 *     claim after an unclean end ─▶ for `cautionMs`: note what waits ─▶ durable ─▶ run ─▶ the note goes with the turn
 *     note of an earlier claim   ─▶ one end more ─▶ note again, alone in its worker ─▶ run      … ─▶ buried
 *
 * Owns the notes (`trial` records) and who may run alone. A worker whose partitions all came to it in order pays nothing: a
 * partition's owner says in the store that it ended, or hands it over.
 *
 * Invariants:
 * - CN1 In a partition that was claimed after an unclean end nothing durable runs within `cautionMs` of the claim before its note
 *   by this claim is durable; what has a note runs by a note of this claim only, whenever it comes.
 * - CN2 A note counts one end more only where an earlier claim's note of it is found and that claim ended uncleanly. What has an
 *   end runs alone in its worker, so that nothing else is blamed for it; after `fatalEndsMax` ends it is buried.
 */
import type { Limits } from '../core/limits.ts';
import { addPart, recordName, type Trial } from '../core/record.ts';
import type { Activation, Batch } from './activation.ts';
import type { Environment } from './environment.ts';
import type { Item } from './mailbox.ts';
import type { Ownership } from './ownership.ts';

export interface CautionParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly ownership: Ownership;
  /** The record changed without a turn. */
  readonly commitAlone: (activation: Activation) => void;
  /** The activation can go on. */
  readonly ready: (activation: Activation) => void;
  readonly wakeBy: (activation: Activation, at: number) => void;
}

/** What to do with something that asks for a turn. */
export type Fate = 'run' | 'wait' | 'fatal';

/** Noted with one commit. */
const notesAtOnce = 64;
/** Notes of one entity. */
const noteCountMax = 256;
/** A process that ends each time is started again within this, ms. */
const noteMs = 3_600_000;
/** Whoever waits to run alone looks again after this, ms: mostly it is told. */
const aloneMs = 100;
/** Whoever runs alone is not waited for longer than this, ms. */
const aloneMsMax = 5_000;

export class Caution {
  readonly #parts: CautionParts;
  /** Who runs alone, and what makes its turn durable. */
  #alone: { readonly activation: Activation; readonly since: number; batch: Batch | undefined } | undefined;
  readonly #waiting: Activation[] = [];
  #isLooking = false;

  constructor(parts: CautionParts) {
    this.#parts = parts;
  }

  /** An activation that has been loaded: whether its turns must be asked for. */
  watch(activation: Activation): void {
    if (activation.behaviour.durability !== 'turn') return;
    const { environment, ownership } = this.#parts;
    activation.isCautious =
      activation.entity.trials.size > 0 || environment.now() < ownership.cautiousUntil(activation.partition);
  }

  /** Whether it may run now. If not it has been noted, or has to wait for its turn to run alone, and is asked for again. */
  ask(activation: Activation, key: string): Fate {
    const { ownership, environment, limits } = this.#parts;
    const { entity, partition } = activation;
    const epoch = ownership.epochOf(partition);
    const known = entity.trials.get(key);
    if (known?.epoch === epoch) return this.#mayRun(activation, known);
    const isCautious = environment.now() < ownership.cautiousUntil(partition);
    if (known === undefined && !isCautious) {
      this.#prune(activation);
      return 'run';
    }
    const ends = known === undefined ? 0 : known.ends + (ownership.cautiousUntil(partition) > 0 ? 1 : 0);
    if (ends >= limits.fatalEndsMax) return 'fatal';
    if (ends === 0 && entity.trials.size >= noteCountMax) return 'run';
    if (ends > 0 && this.#isTaken(activation)) return this.#queue(activation);
    this.#note(activation, { key, ends, epoch, at: environment.now() });
    if (ends > 0) this.#alone = { activation, since: environment.steady(), batch: undefined };
    else
      for (const other of waitingKeys(activation, environment.now()))
        if (!entity.trials.has(other)) this.#note(activation, { key: other, ends, epoch, at: environment.now() });
    activation.phase = 'reading';
    this.#parts.commitAlone(activation);
    activation.noting = activation.gathering;
    return 'wait';
  }

  #mayRun(activation: Activation, { ends }: Trial): Fate {
    if (ends === 0) return 'run';
    if (this.#isTaken(activation)) return this.#queue(activation);
    this.#alone = { activation, since: this.#parts.environment.steady(), batch: undefined };
    return 'run';
  }

  #isTaken(activation: Activation): boolean {
    if (this.#alone === undefined || this.#alone.activation.phase === 'dropped') return false;
    // It was not wanted any more when its note was durable, or the store does not answer.
    if (this.#parts.environment.steady() - this.#alone.since > aloneMsMax) return false;
    // A turn of it that is not durable yet may be counted, if the next one ends the process.
    return this.#alone.activation !== activation || this.#alone.batch !== undefined;
  }

  #queue(activation: Activation): Fate {
    activation.phase = 'reading';
    this.#waiting.push(activation);
    this.#lookAgain();
    return 'wait';
  }

  #lookAgain(): void {
    if (this.#isLooking || this.#waiting.length === 0) return;
    this.#isLooking = true;
    this.#parts.environment.after(aloneMs, () => {
      this.#isLooking = false;
      this.#next();
      this.#lookAgain();
    });
  }

  /** Whoever waits longest asks again. */
  #next(): void {
    while (this.#waiting[0] !== undefined && this.#waiting[0].phase !== 'reading') this.#waiting.shift();
    const activation = this.#waiting[0];
    if (activation === undefined || this.#isTaken(activation)) return;
    this.#waiting.shift();
    activation.phase = 'ready';
    this.#parts.ready(activation);
  }

  #note(activation: Activation, trial: Trial): void {
    const { entity } = activation;
    addPart(entity, 'trials', trial.key, trial);
    entity.changes.records.set(recordName.trial(trial.key), trial);
  }

  /** It came back, however its turn ended: the note goes with the turn's commit, or soon. */
  ran(activation: Activation, key: string): void {
    const { entity, gathering } = activation;
    if (!entity.trials.has(key)) return;
    this.#drop(activation, key);
    if (this.#alone?.activation !== activation) return;
    this.#alone.batch = gathering;
    if (gathering === undefined) this.#endAlone();
  }

  #drop(activation: Activation, key: string): void {
    const { environment, limits, wakeBy } = this.#parts;
    activation.entity.trials.delete(key);
    activation.entity.changes.records.set(recordName.trial(key), null);
    if (activation.gathering !== undefined || activation.trimAt !== 0) return;
    activation.trimAt = environment.now() + limits.trimIdleMs;
    wakeBy(activation, activation.trimAt);
  }

  #endAlone(): void {
    this.#alone = undefined;
    this.#next();
  }

  /** A batch is durable: what was noted with it may run, and who ran alone with it has ended. */
  released(activation: Activation, batch: Batch): void {
    if (this.#alone?.activation === activation && this.#alone.batch === batch) this.#endAlone();
    if (activation.noting !== batch) return;
    activation.noting = undefined;
    if (activation.phase !== 'reading') return;
    activation.phase = 'ready';
    this.#parts.ready(activation);
  }

  /** Notes of what never came again go; without any, and after its time, the entity runs as every other. */
  #prune(activation: Activation): void {
    const { environment, ownership } = this.#parts;
    const now = environment.now();
    for (const [key, { at }] of activation.entity.trials) if (at < now - noteMs) this.#drop(activation, key);
    activation.isCautious = activation.entity.trials.size > 0 || now < ownership.cautiousUntil(activation.partition);
  }
}

/** Names what asks for a turn, for as long as it may be asked for again. */
export function trialKey(item: Item, own: string): string {
  if (item.kind === 'query') return `q:${item.replyTo} ${item.call}`;
  if (item.kind !== 'message') return own;
  const { session, seq } = item.arrival;
  return `m:${item.from}\0${session}.${seq}`;
}

/** What waits for the same entity, or is due, will be asked for next. */
function waitingKeys({ mailbox, entity }: Activation, now: number): string[] {
  const keys: string[] = [];
  for (const item of mailbox.peek(notesAtOnce))
    if (item.kind === 'message' || item.kind === 'query') keys.push(trialKey(item, ''));
  for (const { name, due } of entity.timers.values()) if (due <= now) keys.push(`t:${name}`);
  for (const { id, until } of entity.holds.values()) if (until <= now) keys.push(`x:${id}`);
  return keys.slice(0, notesAtOnce);
}
