/** What a report says, and what it leaves unsaid because it would mean nothing. */
import { compareText } from '../perf/compare.ts';
import type { Report } from '../perf/report.ts';
import { assert, suite } from './support/suite.ts';

const said = suite('perf-report');

said('two reports are warned of by what differs, and by nothing else', () => {
  const report = (plan: object, versions: object) =>
    ({ scenario: 'x', machine: { cores: 2 }, durability: 'none', plan, versions, steps: [] }) as unknown as Report;
  const store = { kind: 'redis' };
  const one = report({ keys: 100, durationMs: 1_000, store, ratePerS: 5 }, { node: '22', nats: '2.9' });
  const other = report({ keys: 200, durationMs: 1_000, store: { kind: 'lmdb' } }, { node: '24', nats: '2.9' });
  const warnings = (before: Report, after: Report) =>
    compareText(before, after)
      .split('\n')
      .filter((line) => line.startsWith('warning'));
  assert.equal(warnings(one, other), [
    'warning: the two have other versions: node: 22 → 24',
    'warning: the two have another plan: keys: 100 → 200, store: {"kind":"redis"} → {"kind":"lmdb"}, ratePerS: 5 → none',
  ]);
  assert.equal(warnings(one, { ...one, durability: 'all' }), ['warning: the two have another durability: none → all']);
  assert.equal(warnings(one, { ...one, plan: { ...one.plan } }), []);
});

said.run();
