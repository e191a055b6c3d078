/**
 * Lent bytes: what a turn reads of the bytes in a state is a copy, which it may change in place; what it changed is kept.
 *
 * A typed array shows nobody that it was written to, and a proxy of one is none to the engine: so the copies are compared
 * when the turn settles, or something else is about to read the state itself. Owns the copies; putting them is `Branch`'s.
 */

/** Where bytes lie: an object of the state, or the box of the whole. */
export interface BytesPlace {
  /** Puts the copy in the place of the original if that is still there; returns what is stored then. */
  takeBack(original: Uint8Array, copy: Uint8Array): Uint8Array | undefined;
}

interface Loan {
  readonly copy: Uint8Array;
  readonly place: BytesPlace;
}

export class LentBytes {
  readonly #loans = new Map<Uint8Array, Loan>();

  /** The copy of bytes that lie somewhere; the same one however often they are read. */
  lend(original: Uint8Array, place: BytesPlace): Uint8Array {
    let loan = this.#loans.get(original);
    if (loan === undefined) {
      loan = { copy: new Uint8Array(original), place };
      this.#loans.set(original, loan);
    }
    return loan.copy;
  }

  /** The copy of bytes that left the state, with what was changed in it before. */
  lentOf(original: Uint8Array): Uint8Array | undefined {
    return this.#loans.get(original)?.copy;
  }

  /** Have what was changed in copies put where they came from. */
  takeBack(): void {
    for (const [original, loan] of [...this.#loans]) {
      if (isSame(original, loan.copy)) continue;
      this.#loans.delete(original);
      const stored = loan.place.takeBack(original, loan.copy);
      if (stored !== undefined) this.#loans.set(stored, loan);
    }
  }
}

/** A copy that was handed to another thread is empty, and says nothing. */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = one;
  if (other.length !== length) return true;
  let from = 0;
  if (one.byteOffset % 4 === 0 && other.byteOffset % 4 === 0) {
    const words = length >> 2;
    const left = new Int32Array(one.buffer, one.byteOffset, words);
    const right = new Int32Array(other.buffer, other.byteOffset, words);
    for (let index = 0; index < words; index++) if (left[index] !== right[index]) return false;
    from = words * 4;
  }
  for (let index = from; index < length; index++) if (one[index] !== other[index]) return false;
  return true;
}
