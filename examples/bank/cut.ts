/**
 * A consistent cut through a bank that never stands still, after Lai and Yang ("On distributed snapshots", 1987). Pure.
 *
 * Audits have numbers. Each account has the colour of the latest audit that it has heard of, and each transfer the colour that its hub had
 * when it began. Whatever belongs to a transfer carries that colour. An account that meets a later colour first notes its totals for the
 * audits in between, then goes on. What it hears afterwards of transfers of an earlier colour was under way, and is added to the notes:
 *
 *     note of audit n  =  all changes by transfers of colours below n
 *
 * A transfer is thus on one side of every cut with all its accounts, and the notes of any audit have the same sum.
 */

/** What an account adds up. */
export interface Sums {
  /** All that is in it; what it holds for a transfer that is not decided counts, once, here. */
  readonly worth: number;
  /** As a hub: transfers that are not decided yet, and changes that it told other accounts to make. */
  readonly open: number;
  readonly told: number;
  /** Changes that other hubs told it to make. */
  readonly made: number;
}

export interface Note extends Sums {
  readonly audit: number;
  /** Changes that were under way when this account met the audit. */
  readonly late: number;
}

export interface Books {
  colour: number;
  sums: Sums;
  notes: Note[];
}

export const newBooks = (): Books => ({ colour: 0, sums: { worth: 0, open: 0, told: 0, made: 0 }, notes: [] });

/** Meets a colour: later ones make it note its sums. */
export function meet(books: Books, colour: number): void {
  for (let audit = books.colour + 1; audit <= colour; audit += 1)
    books.notes = [...books.notes, { ...books.sums, audit, late: 0 }];
  books.colour = Math.max(books.colour, colour);
}

/** A change by a transfer of this colour. */
export function change(books: Books, colour: number, by: Partial<Sums>): void {
  books.sums = { ...books.sums, ...added(books.sums, by) };
  books.notes = books.notes.map((note) =>
    note.audit > colour ? { ...note, ...added(note, by), late: note.late + 1 } : note,
  );
}

function added(sums: Sums, { worth = 0, open = 0, told = 0, made = 0 }: Partial<Sums>): Sums {
  return { worth: sums.worth + worth, open: sums.open + open, told: sums.told + told, made: sums.made + made };
}

/** Forgets the notes of audits that nobody asks for any more. */
export function forget(books: Books, through: number): void {
  books.notes = books.notes.filter(({ audit }) => audit > through);
}

/**
 * What the notes of all accounts say together; undefined: changes are still under way. Each must be read when all have met the audit. After
 * that no transfer of an earlier colour begins: once none is open, `told` is final, and `made` reaches it with the last change.
 */
export function sumOf(notes: readonly Note[]): (Sums & { readonly late: number }) | undefined {
  let sums: Sums = { worth: 0, open: 0, told: 0, made: 0 };
  for (const note of notes) sums = added(sums, note);
  if (sums.open !== 0 || sums.told !== sums.made) return undefined;
  return { ...sums, late: notes.reduce((sum, note) => sum + note.late, 0) };
}
