/** Two entities on two workers, with a transport between them that loses chosen frames. */
import { HandEnvironment } from './hand.ts';
import { LossyTransport } from './lossy.ts';
import { keyAt, placed } from './placed.ts';
import { type Given, type GivenOptions, type Scripts, Tally, withTallies } from './tally.ts';

export const placement = placed(16, ['worker-1', 'worker-2'], ['tally']);
export const [near, far] = [keyAt(placement, 'tally', 'worker-1'), keyAt(placement, 'tally', 'worker-2')];

/** Two workers and a lossy transport; `tell` sends a number to the remote entity. */
export function across(
  options: GivenOptions,
  body: (given: Given & { thief: LossyTransport }) => Promise<void>,
): Promise<void> {
  const hand = new HandEnvironment();
  const thief = new LossyTransport(hand);
  let count = 0;
  const scripts: Scripts = {
    tell: (turn) => turn.to(Tally, far).add(++count),
    see: (turn) => turn.to(Tally, far).see(++count),
  };
  const given = {
    workers: 2,
    hand,
    transport: thief,
    scripts: { ...scripts, ...options.scripts },
    ...withoutScripts(options),
  };
  return withTallies(given, (found) => body({ ...found, thief }));
}
const withoutScripts = ({ scripts: _, ...rest }: GivenOptions): GivenOptions => rest;
