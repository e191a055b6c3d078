/** Answers to messages that an entity sends to itself: as from any partner. */
import { answers, behaviour, settled } from '../../core/behaviour.ts';
import { effect } from '../../core/effect.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import { play } from '../../runtime/testing/play.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith, withTallies } from '../support/tally.ts';

const test = suite('answers');

const Purse = entity('purse', {
  initial: () => ({ free: 10, held: 0, spent: 0, log: [] as string[] }),
  operations: {
    start: command(unchecked<'add' | 'refuse' | 'fail' | 'take' | 'later' | 'named'>()),
    add: command(unchecked<number>(), unchecked<number>()),
    refuse: command(),
    fail: command(),
    take: tentative(unchecked<number>(), { output: unchecked<number>() }),
    look: query(unchecked<{ free: number; held: number; spent: number; log: readonly string[] }>()),
  },
});
const purse = behaviour(
  Purse,
  {
    start(turn, what) {
      const self = turn.to(Purse, turn.key);
      if (what === 'add') self.add(5);
      else if (what === 'refuse') self.refuse();
      else if (what === 'fail') self.fail();
      else if (what === 'take') self.take(3);
      else if (what === 'later') turn.to(Purse, turn.key, { afterMs: 1_000 }).add(1);
      else turn.timer('tick', { afterMs: 1_000 }).add(2);
    },
    add(turn, units) {
      turn.state.free += units;
      return turn.state.free;
    },
    refuse: (turn) => turn.refuse('no'),
    fail() {
      throw new Error('broken');
    },
    take: {
      tentative(turn, units) {
        turn.state.free -= units;
        turn.state.held += units;
        return turn.state.held;
      },
      confirm(turn, units) {
        turn.state.held -= units;
        turn.state.spent += units;
      },
      cancel(turn, units) {
        turn.state.held -= units;
        turn.state.free += units;
      },
    },
    look: ({ state: { free, held, spent, log } }) => ({ free, held, spent, log }),
  },
  {
    answers: [
      answers(Purse, Purse, {
        add: (turn, answer) =>
          void turn.state.log.push(`add ${answer.status === 'done' ? answer.output : answer.status}`),
        refuse: (turn, answer) =>
          void turn.state.log.push(`refuse ${answer.status} ${answer.status === 'refused' ? answer.reason : ''}`),
        fail: (turn, answer) =>
          void turn.state.log.push(`fail ${answer.status === 'failed' ? answer.message : answer.status}`),
        take(turn, answer) {
          turn.state.log.push(`take ${answer.status} from ${turn.from.kind} ${turn.from.type}/${turn.from.key}`);
          if (answer.status === 'accepted') turn.confirm(answer.hold);
        },
      }),
    ],
  },
);

test('P5, P13: what an entity asks itself is answered as by any partner: done, refused, failed, accepted and confirmed', () =>
  withTallies({ behaviours: [purse, tallyWith()], limits: { attemptsMax: 3 } }, async ({ cluster, hand, during }) => {
    const mine = cluster.entity(Purse, 'p');
    for (const what of ['add', 'refuse', 'fail', 'take', 'later', 'named'] as const) {
      await during(mine.start(what));
      await hand.advance(5_000);
    }
    assert.equal(await during(mine.look()), {
      free: 15,

      held: 0,
      spent: 3,
      log: [
        'add 15',
        'refuse refused no',
        'fail broken',
        'take accepted from entity purse/p',
        'take confirmed from entity purse/p',
        'add 13',
      ],
    });
    const { timers, holds, outbox, dead } = (await cluster.inspector.get('purse/p')) ?? {};
    assert.equal([timers, holds, outbox, dead?.length], [[], [], [], 1]);
  }));

test('answers and effects of another type are refused at definition, and both types are named', () => {
  const Other = entity('other', { initial: () => 0, operations: { go: command() } });
  const go = () => undefined;
  const [charge, mailing] = [effect('charge', async () => 1), effect('mailing', async () => 1)];
  assert.throws(
    () => behaviour(Other, { go }, { answers: [answers(Purse, Other, { go })] }),
    /^The behaviour of 'other' has answers\(\) of 'purse'/,
  );
  assert.throws(
    () => behaviour(Other, { go }, { effects: [settled(Other, charge), settled(Purse, mailing)] }),
    (error: unknown) =>
      isSkerryError(error, 'invalid-definition') &&
      error.message.startsWith("The behaviour of 'other' has settled() of 'purse'"),
  );
  assert.throws(
    () => behaviour(Other, { go }, { effects: [charge as never] }),
    /^The behaviour of 'other' has an entry that is not from settled\(\)/,
  );
  const own = {
    answers: [answers(Other, Purse, {}), answers(Other, Other, { go })],
    effects: [settled(Other, charge)],
  };
  assert.is(behaviour(Other, { go }, own).answers.size, 2);
});

test('a play answers what an entity asks itself, too', () => {
  const one = play(purse, 'p');
  one.ask.start('add');
  one.advance(0);
  assert.equal(one.state.log, ['add 15']);
});

test.run();
