/**
 * The turn as a handler sees it: the public `Turn` over one scope, and nothing else of the scope.
 */
import type { Partner, When } from './behaviour.ts';
import type { Effect } from './effect.ts';
import type { AnyEntity, Hold } from './entity.ts';
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

  refuse(reason: string, detail?: unknown): never {
    throw refusalOf(reason, detail, this.#open.environment.limits);
  }

  to(contract: AnyEntity, key: string, when?: When): object {
    return this.#open.to(contract, key, when);
  }

  confirm(hold: Hold): void {
    this.#open.resolve(hold, 'confirm');
  }

  cancel(hold: Hold): void {
    this.#open.resolve(hold, 'cancel');
  }

  timer(name: string, when: When): object {
    return this.#open.timer(name, when);
  }

  cancelTimer(name: string): void {
    this.#open.cancelTimer(name);
  }

  perform(effect: Effect<unknown, unknown>, input: unknown): void {
    this.#open.perform(effect, input);
  }
}
