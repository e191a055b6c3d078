/** What clients asked, what they were told, and whether that was honest (P4, P5, P6, P9). */
import { isSkerryError, type SkerryError } from '../../core/errors.ts';
import type { Stage } from '../../runtime/testing/index.ts';

export type Outcome = 'open' | 'done' | 'declined' | 'none' | 'unknown';

export interface Call {
  readonly address: string;
  /** Names what the call does: two calls with one idempotency key share it. */
  readonly id: string;
  outcome: Outcome;
  output: unknown;
  error: SkerryError | undefined;
}

export class Calls {
  readonly all: Call[] = [];
  readonly #stage: Stage;
  /** The latest turn of each entity that a client was told of. */
  readonly #told = new Map<string, number>();
  overloadedCount = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Make a call and note its outcome; resolves with it, never rejects. */
  async make(address: string, id: string, ask: () => Promise<unknown>): Promise<Call> {
    const call: Call = { address, id, outcome: 'open', output: undefined, error: undefined };
    this.all.push(call);
    try {
      call.output = await ask();
      call.outcome = 'done';
      this.#tell(address, call.output);
    } catch (error) {
      if (!isSkerryError(error)) throw error;
      call.error = error;
      if (error.code === 'overloaded') this.overloadedCount += 1;
      call.outcome =
        error.code === 'refused' ||
        error.code === 'failed' ||
        error.code === 'invalid-input' ||
        error.code === 'hold-unknown' ||
        error.code === 'lapsed'
          ? 'declined'
          : error.effect;
    }
    return call;
  }

  #tell(address: string, output: unknown): void {
    const turns = (output as { turns?: number } | undefined)?.turns;
    if (turns !== undefined) this.#told.set(address, Math.max(this.#told.get(address) ?? 0, turns));
  }

  /** A query: it must show every turn that a client was told of before it was issued, unless it is local, and nothing that is not stored. */
  async look(
    address: string,
    ask: () => Promise<{ readonly turns: number }>,
    reads: 'current' | 'local' = 'current',
  ): Promise<void> {
    const told = this.#told.get(address) ?? 0;
    const lossCount = this.#stage.lossCount();
    let seen: { readonly turns: number };
    try {
      seen = await ask();
    } catch (error) {
      if (isSkerryError(error) && error.effect === 'none') return;
      this.#stage.violate('P9', `a query of ${address} fails with ${String(error)}`);
      return;
    }
    // What was told before a loss is no measure any more; what is shown after it must be what is stored since.
    if (this.#stage.lossCount() > lossCount) return;
    if (seen.turns < told && lossCount === 0 && reads === 'current')
      this.#stage.violate('P9', `${address} shows turn ${seen.turns} after turn ${told} had been answered`);
    const stored = this.#stage.image.entities.get(address);
    const durable =
      stored === undefined ? 0 : (this.#stage.image.decoded(stored).state.value as { turns: number }).turns;
    if (seen.turns > durable) this.#stage.violate('P2', `${address} shows turn ${seen.turns}, stored is ${durable}`);
    this.#tell(address, seen);
  }

  /**
   * At the end: what one client asked of one entity was processed in the order in which it asked, as far as it was told so. Names of
   * calls begin with the client's and a dash; those under a key, which several share, stand for themselves.
   */
  checkOrder(): void {
    if (this.#stage.lossCount() > 0) return;
    const last = new Map<string, { readonly turns: number; readonly id: string }>();
    for (const { address, id, outcome, output } of this.all) {
      const turns = (output as { turns?: number } | undefined)?.turns;
      if (outcome !== 'done' || turns === undefined || !/^c\d-\d/.test(id)) continue;
      const pair = `${id.slice(0, id.indexOf('-'))} ${address}`;
      const before = last.get(pair);
      if (before !== undefined && turns <= before.turns)
        this.#stage.violate(
          'P6',
          `${address} ran call ${id} in turn ${turns}, and ${before.id}, asked before, in turn ${before.turns}`,
        );
      last.set(pair, { turns, id });
    }
  }

  /** At the end: how often each id was applied, by what its callers were told. */
  check(address: string, applied: ReadonlyMap<string, number>): void {
    const byId = new Map<string, Call[]>();
    for (const call of this.all) if (call.address === address) byId.set(call.id, [...(byId.get(call.id) ?? []), call]);
    for (const [id, count] of applied) {
      if (count > 1) this.#stage.violate('P4', `${address} applied call ${id} ${count} times`);
      if (!byId.has(id)) this.#stage.violate('P4', `${address} applied call ${id}, which nobody made`);
    }
    for (const [id, calls] of byId) this.#checkId(address, id, calls, applied.get(id) ?? 0);
  }

  #checkId(address: string, id: string, calls: readonly Call[], count: number): void {
    const has = (outcome: Outcome) => calls.some((call) => call.outcome === outcome);
    const isLossy = this.#stage.lossCount() > 0;
    if (has('open')) this.#stage.violate('P7', `call ${id} of ${address} was never settled`);
    if (has('done') && count === 0 && !isLossy)
      this.#stage.violate('P4', `${address} answered call ${id} but did not apply it`);
    if (has('declined') && count > 0)
      this.#stage.violate('P5', `${address} declined call ${id} (${calls[0]?.error?.message}) and applied it`);
    const isNone = calls.every((call) => call.outcome === 'none');
    if (isNone && count > 0 && !this.#stage.isDuplicated(id))
      this.#stage.violate(
        'P4',
        `call ${id} of ${address} failed with effect 'none' (${calls[0]?.error?.message}) and was applied`,
      );
    const answers = new Set(calls.filter((call) => call.outcome === 'done').map((call) => JSON.stringify(call.output)));
    if (answers.size > 1 && !isLossy)
      this.#stage.violate('P5', `call ${id} of ${address} got different answers: ${[...answers].join(' ')}`);
  }
}
