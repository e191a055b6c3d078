/**
 * Steps: work that may be long, a part at a time. Between two parts whatever else there is to do has its turn.
 *
 * Invariants:
 * - ST1 A step ends after the part in which it has taken `ms`, or as many parts as it may have: longer than that and one part nothing else waits.
 */
import type { Environment } from '../environment.ts';

export interface StepLimits {
  readonly ms: number;
  /** Parts in one step; where time stands still, the only bound. */
  readonly count: number;
}

const stepLimits: StepLimits = { ms: 8, count: 1_024 };

/** The first step is taken on the spot. `part` does one part; false: there is none left, and it is not called again. */
export function inSteps(environment: Environment, part: () => boolean, limits: StepLimits = stepLimits): void {
  const until = environment.steady() + limits.ms;
  for (let count = 0; count < limits.count; count++) {
    if (!part()) return;
    if (environment.steady() >= until) break;
  }
  environment.soon(() => inSteps(environment, part, limits));
}
