import fc from 'fast-check';
import { BloomPartnerFilter } from '../../runtime/entity/partner-filter.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('partner-set');

test('it never says no of what it has, and has room for as many as come', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 12 }), { maxLength: 2_000 }), (partners) => {
      const set = new BloomPartnerFilter();
      for (const partner of partners) set.add(partner);
      assert.ok(partners.every((partner) => set.has(partner)));
      assert.ok(set.count <= new Set(partners).size);
    }),
  );
});

test('it says no of nearly all that it does not have', () => {
  const set = new BloomPartnerFilter();
  for (let count = 0; count < 100_000; count++) set.add(`order/${count}`);
  let wrong = 0;
  for (let count = 100_000; count < 200_000; count++) if (set.has(`order/${count}`)) wrong += 1;
  assert.ok(set.count > 99_900 && wrong < 50, `${set.count} ${wrong}`);
  assert.not.ok(new BloomPartnerFilter().has(''));
});

test.run();
