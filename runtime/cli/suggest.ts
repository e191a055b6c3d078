/** "Did you mean": the known name that is closest to one that is not known. Pure. */

/** A sentence that lists what there is, and names what was probably meant. */
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

/** Edits that turn one word into the other (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= one.length; at += 1) {
    const next = [at];
    for (let to = 1; to <= other.length; to += 1) {
      const change = (row[to - 1] ?? 0) + (one[at - 1] === other[to - 1] ? 0 : 1);
      next.push(Math.min(change, (row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
