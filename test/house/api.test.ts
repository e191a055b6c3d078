/**
 * docs/api.md against the source.
 *
 * Time limit: 120 s.
 */
import { apiPage } from '../support/api.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const test = suite('api');

test('docs/api.md is what the source declares: run `npm run api`', () => {
  assert.is(textOf('docs/api.md'), apiPage());
});

test.run();
