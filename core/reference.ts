/**
 * References to entities: objects with one method per operation, made from a contract without a Proxy.
 *
 * Owns the prototypes that hold the methods. The `invoke` function passed by the maker decides what a method does.
 */
import type { AnyEntity } from './entity.ts';
import type { AnyOperation } from './operation.ts';

/** Called by every method of a reference, with the reference's target and the method's operation and arguments. */
export type Invoke<Target> = (target: Target, name: string, operation: AnyOperation, given: unknown[]) => unknown;

/**
 * Makes references: objects that hold a target and inherit one method per operation of a contract.
 * `keep` selects the operations that this kind of reference has.
 */
export class References<Target> {
  readonly #prototypes = new WeakMap<AnyEntity, object>();
  readonly #invoke: Invoke<Target>;
  readonly #keep: (operation: AnyOperation) => boolean;
  readonly #target = Symbol('target');

  constructor(invoke: Invoke<Target>, keep: (operation: AnyOperation) => boolean) {
    this.#invoke = invoke;
    this.#keep = keep;
  }

  /** A reference to `target`. The caller may define further properties on it. */
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
    const invoke = this.#invoke;
    const slot = this.#target;
    for (const [name, operation] of Object.entries(contract.operations)) {
      if (!this.#keep(operation)) continue;
      prototype[name] = function (this: Record<symbol, Target>, ...given: unknown[]): unknown {
        return invoke(this[slot] as Target, name, operation, given);
      };
    }
    return prototype;
  }
}
