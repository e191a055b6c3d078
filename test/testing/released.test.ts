/** That what is held is given back is a check of the simulator: what comes while it looks is no fault, and what stays is one. */
import { behaviour, entity, query, unchecked } from '../../core/index.ts';
import { noFaults, type Scenario, type SimulationReport, simulate } from '../../runtime/testing/index.ts';
import { Dispatcher } from '../../runtime/worker/dispatcher.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('released');

const Lamp = entity('lamp', { initial: () => ({}), operations: { isOn: query(unchecked<boolean>()) } });
const lamp = behaviour(Lamp, { isOn: () => true });

/** Somebody who goes on asking, also while the simulator looks. */
const asked: Scenario = {
  behaviours: () => [lamp],
  async workload() {},
  async afterwards(stage) {
    const { client, sleep } = await stage.connect('curious');
    const ask = async (): Promise<void> => {
      await client.entity(Lamp, 'a').isOn();
      await sleep(1);
      return ask();
    };
    void ask();
  },
};
const run = (seed: number): Promise<SimulationReport> =>
  simulate({ seed, scenario: asked, workers: 1, faults: { ...noFaults }, faultMs: 100 });

test('HD1: a call that comes while the simulator looks is not taken for one that stays', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const { violations } = await run(seed);
    assert.equal([seed, violations], [seed, []]);
  }
});

test('HD1: what is never given back is found', async () => {
  const { prove } = Dispatcher.prototype;
  Dispatcher.prototype.prove = function (...given) {
    prove.apply(this, given);
    return () => undefined;
  };
  const { violations } = await run(1).finally(() => {
    Dispatcher.prototype.prove = prove;
  });
  assert.equal(
    violations.map(({ promise }) => promise),
    ['HD1'],
  );
});

test.run();
