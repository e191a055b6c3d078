/**
 * `skerry agreements`, `get`, `log` and `doctor` on agreements that are open, under way and broken, with real processes.
 *
 * Time limit: 300 s.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgreementPart } from '../../core/agreement-part.ts';
import { lookInto } from '../../runtime/cli/reading.ts';
import { Skerry } from '../support/skerry.ts';
import { assert, suite } from '../support/suite.ts';

const cli = suite('cli: agreements');
const appPath = fileURLToPath(new URL('../support/app-agreements.ts', import.meta.url));

let temporary: string;
let data: string;
let skerry: Skerry;

cli.before(
  async () => {
    temporary = await mkdtemp(join(tmpdir(), 'skerry-agreements-'));
    process.env.TMPDIR = temporary;
    data = join(temporary, 'data');
    skerry = new Skerry(temporary);
    await skerry.start(appPath, data);
  },
  // It builds first.
  { timeoutMs: 120_000 },
);

cli.after(async () => {
  skerry.endAll();
  await rm(temporary, { recursive: true, force: true });
});

const at = (...words: string[]) => [...words, '--data', data] as const;
const book = (trip: string, desks: string[], ghosts: string[] = []) =>
  skerry.run(...at('call', `trip/${trip}`, 'book', JSON.stringify({ desks, ghosts })));

/** Waits for what the app is about to commit. */
async function until(trip: string, isThere: (agreements: readonly AgreementPart[]) => boolean): Promise<void> {
  for (;;) {
    const found = await lookInto(data, ({ inspector }) => inspector.get(`trip/${trip}`));
    if (found !== undefined && isThere(found.agreements)) return;
  }
}

type Line = Record<string, unknown> & { parties: Record<string, unknown>[] };

cli(
  'agreements are listed with state and what they wait for, broken ones first, and shown whole by their hub',
  async () => {
    await Promise.all([
      book('broken', ['torn', 'c']),
      book('cancelled', ['full'], ['x', 'y', 'z']),
      book('open', ['a'], ['x']),
      book('done', ['b']),
    ]);
    await until('broken', ([one]) => one?.parties.some(({ breach, isTold }) => breach === 'failed' && isTold) === true);
    await until('open', ([one]) => one?.parties.some(({ status }) => status === 'accepted') === true);
    await until('cancelled', ([one]) => one?.decision === 'cancel');
    await until('done', (all) => all.length === 0);
    const lines = (await skerry.lines(...at('agreements'))) as Line[];
    assert.equal(
      lines
        .map(({ address, state, waitsFor }) => [address, state, waitsFor])
        .sort((one, other) => (one[1] === other[1] ? 0 : one[1] === 'broken' ? -1 : 1)),
      lines.map(({ address, state, waitsFor }) => [address, state, waitsFor]),
    );
    const by = new Map(lines.map((line) => [line.address, line]));
    assert.equal([...by.keys()].sort(), ['trip/broken', 'trip/cancelled', 'trip/open']);
    assert.equal(by.get('trip/open')?.waitsFor, ['ghost/x']);
    assert.equal(by.get('trip/broken')?.waitsFor, ['desk/torn']);
    assert.equal(by.get('trip/cancelled')?.because, 'declined');
    const torn = by.get('trip/broken')?.parties[0];
    assert.equal([torn?.party, torn?.state, torn?.breach, torn?.word], ['desk/torn', 'failed', 'failed', 'confirm']);
    const [table, whole, none, other, wrong] = await Promise.all([
      skerry.run(...at('agreements', 'trip')),
      skerry.run(...at('agreements', 'trip/cancelled')),
      skerry.run(...at('agreements', 'desk')),
      skerry.run(...at('agreements', 'trip/nobody')),
      skerry.run(...at('agreements', 'trap')),
    ]);
    assert.match(
      table.out,
      /^state +agreement +since +holds end +waits for +hub\nbroken +book .*desk\/torn \(failed\) +trip\/broken\n/,
    );
    assert.match(table.out, /cancelled +book .* ghost\/x, ghost\/y and 1 more +trip\/cancelled/);
    assert.match(table.out, /open +book .* in 59 min +ghost\/x +trip\/open/);
    assert.match(
      whole.out,
      /^book cancelled: declined\nopened .*, decided .*trip\/cancelled\n +role .*party\n +desks +take +refused "no seat left" \{"seats":1\} +desk\/full\n +ghosts +take +cancelling +ghost\/x\n/,
    );
    assert.match(none.err, /^No agreements: none is open/);
    assert.equal([none.code, other.code, wrong.code], [0, 3, 3]);
  },
);

cli('get, log and doctor show agreements, and a broken one until it is resolved', async () => {
  const [got, shown, logged, lines, sick] = await Promise.all([
    skerry.json(...at('get', 'trip/broken')) as Promise<{ agreements: Line[] }>,
    skerry.run(...at('get', 'trip/open')),
    skerry.run(...at('log', 'trip/broken')),
    skerry.lines(...at('log', 'trip/broken')) as Promise<{ agreements?: unknown[] }[]>,
    skerry.run(...at('doctor', '--json')),
  ]);
  assert.equal(
    got.agreements.map(({ state }) => state),
    ['broken'],
  );
  assert.match(shown.out, /Agreements \(1\)\n +state .*\n +open +book .*ghost\/x/);
  assert.match(
    logged.out,
    / agreements\n(?:.*\n)*?.* book opened\n(?:.*\n)*.* book confirmed\n(?:.*\n)*.* book broken: desk\/torn failed\n/,
  );
  assert.match(logged.out, /answer take accepted +done/);
  const news = lines.flatMap(({ agreements = [] }) => agreements as { event: string; detail: string }[]);
  assert.equal(
    news.map(({ event, detail }) => [event, detail]),
    [
      ['opened', ''],
      ['confirmed', ''],
      ['broken', 'desk/torn failed'],
    ],
  );
  assert.is(sick.code, 1);
  const finding = async () => {
    const { out } = await skerry.run(...at('doctor', '--json'));
    const { findings } = JSON.parse(out) as { findings: { check: string; verdict: string; text: string }[] };
    return findings.find(({ check }) => check === 'agreements');
  };
  assert.match((await finding())?.text ?? '', /^1 broken \(trip\/broken\): .*turn\.resolve/);
  await Promise.all([
    skerry.run(...at('call', 'trip/broken', 'resolve')),
    skerry.run(...at('call', 'trip/open', 'giveUp')),
  ]);
  assert.is((await finding())?.verdict, 'ok');
  const left = (await skerry.lines(...at('agreements'))) as Line[];
  assert.equal(left.map(({ address, because }) => [address, because]).sort(), [
    ['trip/cancelled', 'declined'],
    ['trip/open', 'cancelled'],
  ]);
  const last = (await skerry.lines(...at('log', 'trip/broken', '--last', '1'))) as {
    agreements?: { event: string }[];
  }[];
  assert.equal(
    last[0]?.agreements?.map(({ event }) => event),
    ['resolved', 'settled'],
  );
});

cli.run();
