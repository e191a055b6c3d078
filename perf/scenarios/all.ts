/** The scenarios by their names. */
import type { Scenario } from '../scenario.ts';
import { counter, hot } from './counter.ts';
import { echo, read } from './echo.ts';

export const scenarios: readonly Scenario[] = [echo, counter, hot, read];

export function scenarioOf(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`there is no scenario '${name}'`);
  return found;
}
