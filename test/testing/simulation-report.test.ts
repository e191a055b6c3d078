/** What simulate() tells an author whose own code is wrong. */
import { stubEffects } from '../../core/behaviour.ts';
import { behaviour, command, effect, entity, settled, tentative, unchecked } from '../../core/index.ts';
import { noFaults } from '../../runtime/testing/faults.ts';
import { type Scenario, type SimulationReport, type Stage, simulate } from '../../runtime/testing/simulation.ts';
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

report('an error of a scenario is a violation of the scenario, with the stack frames of its own code', async () => {
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
    assert.equal(
      lines.filter((line) => /runtime\/|node:/.test(line)),
      [],
    );
  }
});

const Door = entity('door', { initial: () => ({}), operations: { open: command(), slam: command() } });
const door = behaviour(Door, {
  open: (turn) => turn.refuse('locked', { by: 'ann' }),
  slam() {
    throw new RangeError('off its hinges');
  },
});

report(
  'an error of a scenario shows code, detail, cause and both sides of an assertion, whatever is thrown',
  async () => {
    const thrown = async (act: (stage: Stage) => unknown) => {
      const { violations } = await calm({
        behaviours: () => [door],
        workload: async (stage) => void (await act(stage)),
      });
      assert.is(violations.length, 1);
      return violations[0]?.text.replaceAll(/\n +at .*/g, '');
    };
    const doorOf = async (stage: Stage) => (await stage.connect('tester')).client.entity(Door, 'd1');
    const raise = (value: unknown) => () => {
      throw value;
    };
    assert.equal(
      [
        await thrown(async (stage) => (await doorOf(stage)).open()),
        await thrown(async (stage) => (await doorOf(stage)).slam()),
        await thrown(() => assert.equal({ sold: 1 }, { sold: 2 })),
        await thrown(raise(new Error('outer', { cause: new TypeError('inner') }))),
        await thrown(raise({ code: 7 })),
        await thrown(raise('a text')),
      ],
      [
        "the workload threw SkerryError 'refused': locked, detail { by: 'ann' }",
        "the workload threw SkerryError 'failed': door/d1 slam: off its hinges",
        'the workload threw Assertion: Expected values to be deeply equal:\n  actual: { sold: 1 }\n  expected: { sold: 2 }',
        'the workload threw Error: outer\ncaused by TypeError: inner',
        'the workload threw { code: 7 }',
        "the workload threw 'a text'",
      ],
    );
  },
);

const Wallet = entity('wallet', {
  initial: () => ({}),
  operations: { bid: command(unchecked<string>()), reserve: tentative(unchecked<number>(), { holdMs: 600_000 }) },
});
const Auction = entity('auction', {
  initial: () => ({}),
  operations: { offer: command(unchecked<string>()), open: command(unchecked<string>()) },
});
const ring = effect('ring', async () => undefined);

/** Wallets with offers that an auction never takes, and holds that it never resolves. */
const auctions = ({ sleep }: Stage) => {
  const wallet = behaviour(Wallet, {
    bid: (turn, auction) => turn.to(Auction, auction).offer(turn.key),
    reserve: { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined },
  });
  const auction = behaviour(
    Auction,
    {
      offer() {
        throw new Error('boom');
      },
      open(turn, wallet) {
        turn.to(Wallet, wallet).reserve(5);
        turn.to(Wallet, wallet, { afterMs: 400_000 }).bid(turn.key);
        turn.timer('close', { afterMs: 500_000 }).open(wallet);
        turn.perform(ring, undefined);
      },
    },
    { effects: [settled(Auction, ring, () => undefined)] },
  );
  return [wallet, ...stubEffects([auction], { ring: () => sleep(1_000_000_000) })];
};

report('P7: what is unfinished is told in the words of the application, with its dates', async () => {
  const { violations } = await calm({
    behaviours: auctions,
    async workload(stage) {
      const { client } = await stage.connect('tester');
      await client.entity(Auction, 'a1').open('bob');
      await client.entity(Wallet, 'ann').bid('a2');
    },
  });
  assert.is(violations.length, 1);
  const [head, ...told] = (violations[0]?.text ?? '').replace(/\+\d{3} s/g, '+… s').split(/: |; /);
  assert.is(head, 'not finished 20000 ms after everything had healed');
  assert.equal(told.sort(), [
    'auction/a1 has a delayed bid for wallet/bob, due +… s',
    'auction/a1 has the effect ring, which has no outcome yet',
    'auction/a1 has the timer "close" (open), due +… s',
    'wallet/ann has 1 message for auction/a2 not acknowledged',
    'wallet/bob still holds reserve for auction/a1 until +… s',
  ]);
});

report.run();
