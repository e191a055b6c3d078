/** "Did you mean": the known name that is closest to one that is not known. Pure. */

/** A sentence that lists the possible names, and suggests the one that was probably meant. */
export function suggestion(given: string, known: readonly string[]): string {
  if (known.length === 0) return '';
  const [best] = known
    .map((name) => ({ name, distance: distance(given.toLowerCase(), name.toLowerCase()) }))
    .sort((one, other) => one.distance - other.distance);
  const isClose =
    best !== undefined && (best.distance <= Math.max(1, Math.floor(given.length / 3)) || best.name.startsWith(given));
  const shown = known.length > 12 ? [...known.slice(0, 12), `and ${known.length - 12} more`] : known;
  return `${isClose ? `did you mean '${best.name}'? ` : ''}there ${shown.length === 1 ? 'is' : 'are'}: ${shown.join(', ')}`;
}

/** Edits that turn one word into the other, two letters that changed places counting as one (Damerau-Levenshtein). */
function distance(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, index) => index)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= one.length; row += 1) {
    const next = [row];
    rows.push(next);
    for (let column = 1; column <= other.length; column += 1) {
      const change = at(row - 1, column - 1) + (one[row - 1] === other[column - 1] ? 0 : 1);
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      const swap = isSwapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(change, swap, at(row - 1, column) + 1, at(row, column - 1) + 1));
    }
  }
  return at(one.length, other.length);
}
