/** A mailbox against a plain array, by random histories. */
import fc from 'fast-check';
import { type Item, Mailbox } from '../runtime/mailbox.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('mailbox');
const itemOf = (id: number): Item => ({ kind: 'effect', id: String(id), outcome: { status: 'done', output: id } });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant('push' as const) },
  { weight: 5, arbitrary: fc.constant('shift' as const) },
  { weight: 2, arbitrary: fc.constant('back' as const) },
  { weight: 1, arbitrary: fc.constant('all' as const) },
);

test('first in first out, with what is put back first; counted exactly', () => {
  const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const mailbox = new Mailbox();
    let model: Item[] = [];
    for (const [index, kind] of steps.entries()) {
      if (kind === 'push') {
        mailbox.push(itemOf(index));
        model.push(itemOf(index));
      } else if (kind === 'shift') assert.equal(mailbox.shift(), model.shift());
      else if (kind === 'back') {
        mailbox.unshift(itemOf(index));
        model = [itemOf(index), ...model];
      } else {
        assert.equal(mailbox.takeAll(), model);
        model = [];
      }
      assert.is(mailbox.count, model.length);
    }
    assert.equal(mailbox.takeAll(), model);
  });
  fc.assert(property, { seed: 11, numRuns: 200 });
});

test('long queues keep their order while they are drained and filled', () => {
  const mailbox = new Mailbox();
  let [next, expected] = [0, 0];
  for (let round = 0; round < 20; round++) {
    for (let count = 0; count < 700; count++) mailbox.push(itemOf(next++));
    for (let count = 0; count < 600; count++) assert.equal(mailbox.shift(), itemOf(expected++));
  }
  assert.is(mailbox.count, next - expected);
  for (; expected < next; expected++) assert.equal(mailbox.shift(), itemOf(expected));
  assert.is(mailbox.shift(), undefined);
  assert.is(mailbox.count, 0);
});

test.run();
