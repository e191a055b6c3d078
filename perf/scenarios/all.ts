/** The scenarios by their names. */
import type { Scenario } from '../scenario.ts';
import { activate } from './activate.ts';
import { counter, hot } from './counter.ts';
import { drain } from './drain.ts';
import { echo, read } from './echo.ts';
import { growth } from './growth.ts';
import { idle } from './idle.ts';
import { fanout, reserve } from './messages.ts';
import { failover, move } from './moving.ts';
import { overload } from './overload.ts';
import { timers } from './timers.ts';

export const scenarios: readonly Scenario[] = [
  echo,
  counter,
  hot,
  read,
  fanout,
  reserve,
  activate,
  timers,
  idle,
  overload,
  move,
  drain,
  failover,
  growth,
];

export function scenarioOf(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`there is no scenario '${name}'`);
  return found;
}
