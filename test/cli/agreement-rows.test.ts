/** How agreements are shown, and that many are listed in bounded memory. */
import { type AgreementPart, type PartyPart, standingOf } from '../../core/agreement-part.ts';
import { agreementRow, agreementValue, newsText, partyRow } from '../../runtime/cli/agreement-rows.ts';
import { brokenFirst } from '../../runtime/cli/commands/agreements.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('cli: rows of agreements');

const party = (index: number, given: Partial<PartyPart> = {}): PartyPart => ({
  role: 'desks',
  address: `desk/${index}`,
  operation: 'take',
  status: 'open',
  until: 0,
  answer: new Uint8Array(0),
  word: 'none',
  isHeard: false,
  isWordy: false,
  breach: 'none',
  isTold: false,
  ...given,
});

const part = (parties: readonly PartyPart[], given: Partial<AgreementPart> = {}): AgreementPart => ({
  id: 'x.1.0.trip/1',
  name: 'book',
  at: 1_000,
  decideBy: 61_000,
  due: 61_000,
  decision: 'none',
  because: 'none',
  decidedAt: 0,
  isUntold: false,
  isResolved: false,
  parties,
  ...given,
});

test('how a party stands, and until when it holds', () => {
  const yes = { status: 'accepted', until: 31_000 } as const;
  const state = (given: Partial<PartyPart>, of: Partial<AgreementPart> = {}) => {
    const one = party(1, given);
    return partyRow(one, part([one], of), 1_000).slice(2, 4);
  };
  const refused = encode(['refused', 'full\n', undefined]);
  assert.equal(state({}), ['open', '']);
  assert.equal(state(yes), ['accepted', 'in 30 s']);
  assert.equal(state({ ...yes, until: 8.64e15 }), ['accepted', 'never']);
  assert.equal(state({ status: 'declined', answer: refused }), ['refused "full\\n"', '']);
  assert.equal(state({ status: 'declined' }), ['undelivered', '']);
  assert.equal(state({ ...yes, word: 'confirm' }), ['confirming', 'in 30 s']);
  assert.equal(state({ ...yes, word: 'confirm', isHeard: true }), ['confirmed', '']);
  assert.equal(state({ ...yes, word: 'cancel' }), ['cancelling', 'in 30 s']);
  assert.equal(state({ word: 'cancel', isHeard: true }), ['cancelled', '']);
  const lapsed = { ...yes, word: 'confirm', isHeard: true, breach: 'lapsed' } as const;
  assert.equal(state(lapsed), ['lapsed', '']);
  assert.equal(state({ ...lapsed, isTold: true }, { isResolved: true }), ['lapsed, resolved', '']);
  const untold = part([party(1, { status: 'declined', answer: refused })], {
    decision: 'cancel',
    because: 'deadline',
    isUntold: true,
  });
  assert.equal(agreementRow(untold, 5_000).slice(-1), ['its hub: the handler of decided throws']);
  const undelivered = part([party(1, { ...lapsed, breach: 'undelivered' })], { decision: 'confirm', decidedAt: 4_000 });
  assert.equal(agreementRow(undelivered, 5_000), ['broken', 'book', '1 s ago', '', 'desk/1 (undelivered)']);
  assert.equal((agreementValue(undelivered) as { since: number }).since, 4_000);
  assert.is(newsText({ name: 'book', id: '', event: 'cancelled', detail: 'rule' }), 'book cancelled: rule');
});

test('those that do not fit into memory are read again, and broken ones still come first, each once', async () => {
  const answer = new Uint8Array(100_000);
  const breach = { breach: 'failed', word: 'confirm', isHeard: true } as const;
  const count = 400;
  let readings = 0;
  async function* all(size: number) {
    readings += 1;
    for (let index = 0; index < size; index += 1) {
      const isLast = index % 100 === 99;
      const one = party(index, { status: 'accepted', answer, ...(isLast ? breach : {}) });
      yield { address: `trip/${index}`, agreement: part([one], isLast ? { decision: 'confirm' } : {}) };
    }
  }
  const printedOf = async (size: number) => {
    readings = 0;
    const lots: string[][] = [];
    await brokenFirst(
      () => all(size),
      async (lot) => void lots.push(lot.map(({ agreement }) => standingOf(agreement))),
    );
    return lots.flat();
  };
  const large = await printedOf(count);
  assert.is(readings, 2);
  assert.equal(large, [...Array(4).fill('broken'), ...Array(396).fill('open')]);
  const small = await printedOf(10);
  assert.equal([readings, small.length], [1, 10]);
  await printedOf(0);
});

test.run();
