/** What simulate() tells an author whose own code is wrong. */
import { behaviour, command, entity, unchecked } from '../../core/index.ts';
import { noFaults } from '../../runtime/testing/faults.ts';
import { type Scenario, type SimulationReport, simulate } from '../../runtime/testing/simulation.ts';
import { assert, suite } from '../support/suite.ts';

const report = suite('simulation report');

const Till = entity('till', { initial: () => ({ sold: 0 }), operations: { sell: command(unchecked<number>()) } });
const till = behaviour(Till, {
  sell(turn, units) {
    turn.state.sold += units;
  },
});

function calm(scenario: Partial<Scenario>, settleMs = 20_000): Promise<SimulationReport> {
  const faults = { ...noFaults };
  const whole = { behaviours: () => [till], workload: async () => undefined, ...scenario };
  return simulate({ seed: 1, faults, faultMs: 1_000, settleMs, scenario: whole });
}

report('what a scenario throws is a violation of the scenario, with its stack on lines of its own', async () => {
  const fail = (): never => {
    throw new Error('my own mistake');
  };
  for (const [part, name] of [
    [{ workload: async () => fail() }, 'the workload'],
    [{ workload: fail }, 'the workload'],
    [{ afterwards: async () => fail() }, 'what comes afterwards'],
    [{ finally: fail }, 'the last check'],
  ] as const) {
    const { violations } = await calm(part);
    assert.equal(
      violations.map(({ promise }) => promise),
      ['scenario'],
    );
    const lines = violations[0]?.text.split('\n') ?? [];
    assert.is(lines[0], `${name} threw Error: my own mistake`);
    assert.match(lines[1] ?? '', /^ +at .*simulation-report/);
  }
});

report.run();
