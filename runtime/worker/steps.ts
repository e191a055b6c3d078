/**
 * Steps: long work divided into parts, so that other work can run between them.
 *
 * Invariants:
 * - ST1 A step ends after the part in which it has taken `ms`, or after its maximum of parts. Nothing waits for longer than that.
 */
import type { Environment } from '../environment.ts';

export interface StepLimits {
  readonly ms: number;
  /** Most parts in one step; the only bound where time stands still. */
  readonly count: number;
}

const stepLimits: StepLimits = { ms: 8, count: 1_024 };

/** The first step runs at once. `part` does one part; false: there is none left, and it is not called again. */
export function inSteps(environment: Environment, part: () => boolean, limits: StepLimits = stepLimits): void {
  const until = environment.steady() + limits.ms;
  for (let count = 0; count < limits.count; count++) {
    if (!part()) return;
    if (environment.steady() >= until) break;
  }
  environment.soon(() => inSteps(environment, part, limits));
}
