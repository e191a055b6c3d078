/**
 * The turn as a handler sees it: the public `Turn` over one scope, and nothing else of the scope. A command's can put its answer off.
 */
import type { Content } from './activity.ts';
import type { AnyAgreement, OpenAgreement } from './agreement.ts';
import { answerLater, takeLater } from './answering.ts';
import type { Cron, Every, Partner, When } from './behaviour.ts';
import type { Effect } from './effect.ts';
import type { AnyEntity, Hold } from './entity.ts';
import { cancelAgreement, openAgreement, resolveAgreement } from './hub.ts';
import type { Later } from './later.ts';
import { refusalOf } from './request.ts';
import type { TurnScope } from './scope.ts';

export class TurnHandle {
  readonly #scope: TurnScope;

  constructor(scope: TurnScope) {
    this.#scope = scope;
  }

  /** The scope, while the turn lasts: what is decided after it would be lost without a word. */
  get #open(): TurnScope {
    this.#scope.checkOpen();
    return this.#scope;
  }

  get key(): string {
    return this.#open.record.key;
  }

  get now(): number {
    return this.#open.now;
  }

  get from(): Partner {
    return this.#open.from;
  }

  get scheduledFor(): number | undefined {
    return this.#open.scheduledFor;
  }

  get missedCount(): number {
    return this.#open.missedCount;
  }

  get state(): unknown {
    return this.#open.state;
  }

  set state(value: unknown) {
    this.#open.state = value;
  }

  get activity(): unknown {
    return this.#open.activityState(this.#open.partner);
  }

  set activity(value: unknown) {
    this.#open.setActivityState(this.#open.partner, value);
  }

  random(): number {
    return this.#open.environment.random();
  }

  /** Refuses this turn's operation, or one that was put off: then the turn goes on. */
  refuse(what: string | Later<unknown>, ...given: readonly unknown[]): void {
    const { limits } = this.#open.environment;
    if (typeof what !== 'object' || what === null) throw refusalOf(what, given[0], limits);
    const { reason, detail } = refusalOf(given[0] as string, given[1], limits);
    answerLater(this.#open, what, ['refused', reason, detail]);
  }

  answer(later: Later<unknown>, output?: unknown): void {
    answerLater(this.#open, later, ['done', output]);
  }

  to(contract: AnyEntity, key: string, when?: When): object {
    return this.#open.to(contract, key, when);
  }

  confirm(hold: Hold): void {
    this.#open.resolve(hold, 'confirm');
  }

  cancel(what: Hold | OpenAgreement): void {
    if (typeof what === 'object' && what !== null && 'agreement' in what) cancelAgreement(this.#open, what);
    else this.#open.resolve(what, 'cancel');
  }

  agree(agreement: AnyAgreement, invited: unknown): OpenAgreement {
    return openAgreement(this.#open, agreement, invited);
  }

  resolve(open: OpenAgreement): void {
    resolveAgreement(this.#open, open);
  }

  timer(name: string, when: When | Every | Cron): object {
    return this.#open.timer(name, when);
  }

  cancelTimer(name: string): void {
    this.#open.cancelTimer(name);
  }

  perform(effect: Effect<unknown, unknown>, input: unknown): void {
    this.#open.perform(effect, input);
  }
}

export class CommandTurnHandle extends TurnHandle {
  readonly #scope: TurnScope;
  readonly #content: Content;

  constructor(scope: TurnScope, content: Content) {
    super(scope);
    this.#scope = scope;
    this.#content = content;
  }

  later(): Later<unknown> {
    return takeLater(this.#scope, this.#content);
  }
}
