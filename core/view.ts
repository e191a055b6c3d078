/**
 * Views: read-only drafts, for queries. Owns them and what they share with drafts; recorder.ts tells what a draft is.
 *
 * D9: A view cannot change anything.
 */
import { SkerryError } from './errors.ts';
import type { Plain } from './patch.ts';
import type { Draft } from './storable.ts';
import * as data from './storable.ts';

/** A read-only draft: for queries. */
export interface View {
  readonly value: unknown;
  /** From now on its use throws (D8). */
  revoke(): void;
}

/** Shows a value without copying it; a write throws `failed` (D9). Read lazily: as cheap for a wide state as for a small. */
export function view(value: unknown): View {
  const scope: ViewScope = { isOver: false, sights: new Map() };
  return {
    value: look(scope, value),
    revoke() {
      scope.isOver = true;
      scope.sights.clear();
    },
  };
}

interface ViewScope {
  isOver: boolean;
  readonly sights: Map<object, Sight>;
}

function look(scope: ViewScope, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  let sight = scope.sights.get(value);
  if (sight === undefined) {
    sight = new Sight(scope, value as Plain);
    scope.sights.set(value, sight);
  }
  return sight.proxy;
}

/** The proxy handler of one object of a view. */
class Sight implements Draft {
  readonly scope: ViewScope;
  readonly plain: Plain;
  readonly proxy: Plain;

  constructor(scope: ViewScope, plain: Plain) {
    this.scope = scope;
    this.plain = plain;
    this.proxy = new Proxy(plain, this);
  }

  get(target: Plain, key: string | symbol, receiver: unknown): unknown {
    if (this.scope.isOver) throw expired();
    if (key === data.draftOf) return receiver === this.proxy ? this : undefined;
    const value: unknown = Reflect.get(target, key);
    return typeof value === 'object' && Object.hasOwn(target, key) ? this.child(value) : value;
  }

  has(target: Plain, key: string | symbol): boolean {
    if (this.scope.isOver) throw expired();
    return Reflect.has(target, key);
  }

  getOwnPropertyDescriptor(target: Plain, key: string | symbol): PropertyDescriptor | undefined {
    if (this.scope.isOver) throw expired();
    return describe(target, key, this);
  }

  child(value: unknown): unknown {
    return look(this.scope, value);
  }

  set(): boolean {
    throw readOnly();
  }

  deleteProperty(): boolean {
    throw readOnly();
  }

  defineProperty(): boolean {
    throw readOnly();
  }

  setPrototypeOf(): boolean {
    throw readOnly();
  }

  preventExtensions(): boolean {
    throw readOnly();
  }
}

interface Shown {
  child(value: unknown, key: string): unknown;
}

export function describe(target: Plain, key: string | symbol, shown: Shown): PropertyDescriptor | undefined {
  const descriptor = Reflect.getOwnPropertyDescriptor(target, key);
  if (typeof descriptor?.value === 'object') descriptor.value = shown.child(descriptor.value, String(key));
  return descriptor;
}

export function expired(): SkerryError {
  return new SkerryError(
    'failed',
    'a draft of the state was used after its turn: copy what you need before the turn ends',
  );
}

function readOnly(): SkerryError {
  return new SkerryError('failed', 'a query must not change state: make it a command');
}
