/** A set of the numbers 1, 2, 3 … of operations: ranges, since they happen nearly in order. Plain data, fit for a state. */
export type Numbers = [from: number, to: number][];

/** Adds one; false if it was there. */
export function note(numbers: Numbers, one: number): boolean {
  let index = numbers.length;
  while (index > 0 && one < (numbers[index - 1] as Numbers[0])[0]) index -= 1;
  const before = numbers[index - 1];
  const after = numbers[index];
  if (before !== undefined && one <= before[1]) return false;
  const joinsBefore = before !== undefined && before[1] === one - 1;
  const joinsAfter = after !== undefined && after[0] === one + 1;
  if (joinsBefore && joinsAfter) {
    before[1] = after[1];
    numbers.splice(index, 1);
  } else if (joinsBefore) before[1] = one;
  else if (joinsAfter) after[0] = one;
  else numbers.splice(index, 0, [one, one]);
  return true;
}

function has(numbers: Numbers, one: number): boolean {
  return numbers.some(([from, to]) => from <= one && one <= to);
}

export function countOf(numbers: Numbers): number {
  return numbers.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** Those of the first that are not in the second. */
export function missing(numbers: Numbers, from: Numbers): number[] {
  return all(numbers).filter((one) => !has(from, one));
}

/** Those that are in both. */
export function shared(numbers: Numbers, other: Numbers): number[] {
  return all(numbers).filter((one) => has(other, one));
}

function all(numbers: Numbers): number[] {
  return numbers.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, index) => from + index));
}
