import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Parts } from '../../core/small-map.ts';

const test = suite('parts');

const keys = fc.constantFrom('', 'a', 'b', 'c');
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('set' as const), key: keys, part: fc.option(fc.integer(), { nil: undefined }) }),
    fc.record({ kind: fc.constant('delete' as const), key: keys }),
    fc.record({ kind: fc.constant('clear' as const) }),
  ),
);

test('what a map has, parts have, in its order, whatever was put and removed', () => {
  fc.assert(
    fc.property(steps, (taken) => {
      const parts = new Parts<string, number | undefined>();
      const map = new Map<string, number | undefined>();
      for (const step of taken) {
        if (step.kind === 'set') {
          parts.set(step.key, step.part);
          map.set(step.key, step.part);
        } else if (step.kind === 'delete') assert.is(parts.delete(step.key), map.delete(step.key));
        else {
          parts.clear();
          map.clear();
        }
        assert.is(parts.size, map.size);
        assert.equal([...parts], [...map]);
        assert.equal([...parts.keys()], [...map.keys()]);
        assert.equal([...parts.values()], [...map.values()]);
        for (const key of ['', 'a', 'b', 'c', 'd']) {
          assert.is(parts.has(key), map.has(key));
          assert.is(parts.get(key), map.get(key));
        }
      }
    }),
  );
});

test('what is looked at may be removed meanwhile', () => {
  for (const count of [1, 2, 3]) {
    const parts = new Parts<number, string>();
    for (let key = 0; key < count; key++) parts.set(key, `${key}`);
    for (const [key] of parts) parts.delete(key);
    assert.is(parts.size, 0);
  }
});

test.run();
