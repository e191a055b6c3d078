/** The error class and its guard. */
import { assert as assertInvariant, errorCodes, isSkerryError, SkerryError } from '../../core/errors.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('errors');

test('an error has code, message, effect, detail and cause', () => {
  const cause = new Error('disk');
  const error = new SkerryError('store-failed', 'no room', { effect: 'unknown', detail: { bytes: 1 }, cause });
  assert.equal(
    [error.code, error.message, error.effect, error.name],
    ['store-failed', 'no room', 'unknown', 'SkerryError'],
  );
  assert.equal(error.detail, { bytes: 1 });
  assert.is(error.cause, cause);
  assert.is(new SkerryError('refused', 'no').effect, 'none');
  assert.not.ok('cause' in new SkerryError('refused', 'no'));
});

test('the guard knows errors by their code, also those of another copy of the package', async () => {
  const other = (await import(`../../core/errors.ts?copy=${1}`)) as typeof import('../../core/errors.ts');
  assert.is.not(other.SkerryError, SkerryError, 'two copies');
  const foreign = new other.SkerryError('overloaded', 'full');
  assert.not.ok(foreign instanceof SkerryError);
  assert.ok(isSkerryError(foreign));
  assert.ok(isSkerryError(foreign, 'overloaded'));
  assert.not.ok(isSkerryError(foreign, 'refused'));
  assert.ok(other.isSkerryError(new SkerryError('refused', 'no'), 'refused'));
});

test('the guard takes nothing else: other errors, look-alikes, inherited names', () => {
  const dressed = (code: unknown) => Object.assign(new Error('x'), { code, effect: 'none' });
  const others = [new Error('x'), dressed('ENOENT'), dressed('constructor'), dressed('toString'), dressed('__proto__')];
  for (const other of [...others, dressed(undefined), { code: 'refused', effect: 'none' }, null, undefined, 'refused'])
    assert.not.ok(isSkerryError(other));
  assert.not.ok(isSkerryError(Object.assign(new Error('x'), { code: 'refused' })), 'without an effect');
});

test('every code says what it means', () => {
  for (const [code, text] of Object.entries(errorCodes)) {
    assert.match(code, /^[a-z]+(?:-[a-z]+)*$/);
    assert.match(text, /^[A-Z].*\.$/);
  }
});

test('a broken invariant is a bug of ours, and no error of the table', () => {
  assertInvariant(true, 'fine');
  try {
    assertInvariant(false, 'one and one are two');
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /Skerry bug, please report: one and one are two/);
    assert.not.ok(isSkerryError(error));
  }
});

test.run();
