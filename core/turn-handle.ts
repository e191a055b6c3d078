/**
 * The turn as a handler sees it: the public `Turn` over one scope, and nothing else of the scope.
 */
import type { Effect, Partner, Turn, When } from './behaviour.ts';
import type { AnyEntity, Hold } from './entity.ts';
import { Refusal, type TurnScope } from './scope.ts';

export class TurnHandle {
  readonly #scope: TurnScope;

  constructor(scope: TurnScope) {
    this.#scope = scope;
  }

  get key(): string {
    return this.#scope.record.key;
  }

  get now(): number {
    return this.#scope.now;
  }

  get from(): Partner {
    return this.#scope.from;
  }

  get state(): unknown {
    return this.#scope.state;
  }

  set state(value: unknown) {
    this.#scope.state = value;
  }

  get activity(): unknown {
    return this.#scope.activityState(this.#scope.partner);
  }

  set activity(value: unknown) {
    this.#scope.setActivityState(this.#scope.partner, value);
  }

  random(): number {
    return this.#scope.environment.random();
  }

  refuse(reason: string, detail?: unknown): never {
    throw new Refusal(String(reason), detail === undefined ? undefined : this.#scope.plain(detail, 'detail of the refusal'));
  }

  to(contract: AnyEntity, key: string, when?: When): object {
    return this.#scope.to(contract, key, when);
  }

  confirm(hold: Hold): void {
    this.#scope.resolve(hold, 'confirm');
  }

  cancel(hold: Hold): void {
    this.#scope.resolve(hold, 'cancel');
  }

  timer(name: string, when: When): object {
    return this.#scope.timer(name, when);
  }

  cancelTimer(name: string): void {
    this.#scope.cancelTimer(name);
  }

  perform(effect: Effect<unknown, unknown>, input: unknown): void {
    this.#scope.perform(effect, input);
  }
}

/** The handle is a `Turn` of the widest contract; each behaviour's own contract is what its types were checked against. */
export type AnyTurn = Turn<AnyEntity>;
