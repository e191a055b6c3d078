/** Checks of options that several examples have. */
import type { OwnOption } from './example.ts';

export function wholeFrom(least: number, most: number): OwnOption['problem'] {
  return (text) => {
    const number = Number(text);
    const isRight = text.trim() !== '' && Number.isInteger(number) && number >= least && number <= most;
    return isRight ? undefined : `takes a whole number from ${least} to ${most}`;
  };
}
