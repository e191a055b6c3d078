/**
 * References to entities: objects with one method per operation, made from a contract without a Proxy.
 *
 * Owns how methods get onto a reference; what a method does is the `ask` function that the maker passes.
 */
import type { AnyEntity } from './entity.ts';
import type { AnyOperation } from './operation.ts';

/** What a reference's methods do when they are called. */
export type Ask<Target> = (target: Target, name: string, operation: AnyOperation, given: unknown[]) => unknown;

/**
 * A maker of references of one contract: objects that hold a target and inherit a method per operation.
 * `keep` picks the operations that this kind of reference has.
 */
export class References<Target> {
  readonly #prototypes = new WeakMap<AnyEntity, object>();
  readonly #ask: Ask<Target>;
  readonly #keep: (operation: AnyOperation) => boolean;
  readonly #target = Symbol('target');

  constructor(ask: Ask<Target>, keep: (operation: AnyOperation) => boolean) {
    this.#ask = ask;
    this.#keep = keep;
  }

  /** A reference whose methods ask `target`. Its other properties are the caller's to define. */
  make(contract: AnyEntity, target: Target): object {
    let prototype = this.#prototypes.get(contract);
    if (prototype === undefined) {
      prototype = this.#prototype(contract);
      this.#prototypes.set(contract, prototype);
    }
    const reference = Object.create(prototype);
    reference[this.#target] = target;
    return reference;
  }

  #prototype(contract: AnyEntity): object {
    const prototype: Record<string, unknown> = {};
    const ask = this.#ask;
    const slot = this.#target;
    for (const [name, operation] of Object.entries(contract.operations)) {
      if (!this.#keep(operation)) continue;
      prototype[name] = function (this: Record<symbol, Target>, ...given: unknown[]): unknown {
        return ask(this[slot] as Target, name, operation, given);
      };
    }
    return prototype;
  }
}
