/** What is said of turns that threw, and to whom. */
import type { HandEnvironment } from '../support/hand.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, withTallies } from '../support/tally.ts';

const test = suite('attempts');

function failHere(): never {
  throw new Error('the shelf fell down', { cause: new Error('a loose screw') });
}
const scripts = {
  fail: failHere,
  ask: (turn: { to: (type: typeof Tally, key: string) => { run(name: string): void } }) =>
    turn.to(Tally, 'b').run('fail'),
};
const stackPattern =
  /Error: the shelf fell down\n +at .*failHere.*attempts\.test\.ts:\d+[\s\S]*caused by Error: a loose screw/;

interface Said {
  readonly level: string;
  readonly entity?: string;
  readonly operation?: string;
  readonly from?: string;
  readonly attempt?: number;
  readonly unsaid?: number;
  readonly stack?: string;
}

function saidOf({ logged }: HandEnvironment): Said[] {
  return logged
    .filter(({ message }) => message === 'a turn threw')
    .map(({ level, details }) => ({ level, ...details }));
}

test('N5: what a call’s turn, or a query, threw is in the log with its stack, address and operation; its caller gets the message alone', () =>
  withTallies({ scripts: scripts as never }, async ({ hand, tally, during }) => {
    const ask: readonly [string, () => Promise<unknown>][] = [
      ['run', () => tally('a').run('fail')],
      ['look', () => tally('a').look('fail')],
    ];
    for (const [operation, call] of ask) {
      const error = await rejects(during(call()), 'failed', /the shelf fell down/);
      assert.not.match(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`, /failHere|loose screw/);
      const said = saidOf(hand);
      hand.logged.splice(0);
      assert.equal(
        said.map((one) => [one.level, one.entity, one.operation]),
        [['warn', 'tally/a', operation]],
      );
      assert.match(String(said[0]?.stack), stackPattern);
    }
  }));

test('N5, P7: a message that throws is in the log once, not with each of its tries, and its dead letter has the stack', () =>
  withTallies({ scripts: scripts as never, limits: { attemptsMax: 4 } }, async ({ hand, cluster, tally, during }) => {
    await during(tally('a').run('ask'));
    await hand.advance(60_000);
    const said = saidOf(hand);
    assert.equal(
      said.map(({ attempt, from }) => [attempt, from]),
      [[1, 'tally/a']],
    );
    assert.ok(
      hand.logged.some(
        ({ level, message }) => level === 'error' && message.startsWith('a message failed its last attempt'),
      ),
    );
    const [letter] = (await cluster.inspector.get('tally/b'))?.dead ?? [];
    assert.is(letter?.reason, 'the shelf fell down');
    assert.match(letter?.stack ?? '', stackPattern);
    assert.ok((letter?.stack.length ?? 0) <= 4_000);
  }));

test('N5, P12: calls that all fail alike are in the log now and then, with how many there were; what a caller got wrong never', () =>
  withTallies({ scripts: scripts as never }, async ({ hand, tally, during }) => {
    for (let count = 0; count < 50; count++) await rejects(during(tally('a').run('fail')), 'failed');
    await hand.advance(10_000);
    await rejects(during(tally('a').run('fail')), 'failed');
    assert.equal(
      saidOf(hand).map(({ unsaid }) => unsaid),
      [undefined, 49],
    );
  }));

test.run();
