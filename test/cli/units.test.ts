/** The pure parts of the command line: escapes, JSON, tables, the command line itself. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { defaultLimits } from '../../core/limits.ts';
import { loadApp } from '../../runtime/cli/app.ts';
import type { Command } from '../../runtime/cli/command.ts';
import { sayWhyNotReady } from '../../runtime/cli/commands/worker.ts';
import { contents } from '../../runtime/cli/doctor-contents.ts';
import { addressArgument, addressText, escapeText, shellWord, unescapeText } from '../../runtime/cli/escape.ts';
import { CliError } from '../../runtime/cli/failure.ts';
import { jsonText, parseJson, prettyJson } from '../../runtime/cli/json.ts';
import { payloadText } from '../../runtime/cli/message-rows.ts';
import { logText } from '../../runtime/cli/output.ts';
import { aheadText, clocksOf } from '../../runtime/cli/owners.ts';
import { parse } from '../../runtime/cli/parse.ts';
import { suggestion } from '../../runtime/cli/suggest.ts';
import { tableLines } from '../../runtime/cli/table.ts';
import { variableOf } from '../../runtime/cli/target.ts';
import { relative, span } from '../../runtime/cli/time.ts';
import { fitted, widthOf, wrapped } from '../../runtime/cli/width.ts';
import { withoutLogin } from '../../runtime/open.ts';
import { encode } from '../../runtime/wire/codec.ts';
import { assert, suite } from '../support/suite.ts';
import { type TallyTurn, withTallies } from '../support/tally.ts';

const units = suite('cli units');

function failureOf(body: () => unknown): CliError['failure'] {
  try {
    body();
  } catch (error) {
    if (error instanceof CliError) return error.failure;
    throw error;
  }
  throw new Error('nothing was thrown');
}

units('a worker that starts slowly says why: it is a warning only after 10 s', () => {
  const said: unknown[] = [];
  const planned = new Map<number, () => void>();
  const sayAs = (level: string) => (_: object, text: string) => void said.push([level, text]);
  const environment = {
    after: (ms: number, run: () => void) => {
      planned.set(ms, run);
      return () => void planned.delete(ms);
    },
    log: { info: sayAs('info'), warn: sayAs('warn'), error: sayAs('error') },
  };
  const view = { version: 1, workers: [{ name: 'one', id: 'a' }] };
  const views = { isKnown: true, placement: { view } };
  const starting = { name: 'one', id: 'a', view, member: { views, acquisition: { coming: [1, 2, 3] } } };
  const cancel = sayWhyNotReady(environment, starting);
  planned.get(2_000)?.();
  planned.get(10_000)?.();
  views.isKnown = false;
  planned.get(2_000)?.();
  planned.get(10_000)?.();
  assert.equal(said, [
    ['info', 'not ready: claiming 3 partitions'],
    ['warn', 'not ready: claiming 3 partitions'],
    ['info', 'not ready: no view has arrived yet'],
    ['warn', 'not ready: no view has arrived yet'],
  ]);
  cancel();
  assert.is(planned.size, 0);
});

units('payloads of any form are shown: fields of any name, answers of no form, bytes that are no data', () => {
  const odd = JSON.parse('{"constructor":1,"toJSON":1,"toString":2,"length":-1}');
  const text = '{"constructor":1,"toJSON":1,"toString":2,"length":-1}';
  assert.is(payloadText(encode(odd), 'operation'), text);
  assert.is(payloadText(encode(['done', odd]), 'answer'), `done ${text}`);
  assert.is(payloadText(encode(['refused', { toString: 1 }]), 'answer'), '["refused",{"toString":1}]');
  assert.is(payloadText(encode('x'), 'answer'), '"x"');
  assert.is(payloadText(new Uint8Array([0xc1]), 'answer'), '{"unreadable":"wQ=="}');
  assert.is(prettyJson(odd, 10), '{\n  "constructor": 1,\n  "toJSON": 1,\n  "toString": 2,\n  "length": -1\n}');
});

units('a key as it is printed is the key when it is given as an argument', () => {
  const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(key, (text) => {
      const shown = escapeText(text);
      assert.is(unescapeText(shown), text);
      assert.not.match(shown, /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
  );
  assert.is(addressText('stock/ a\nb\0c/d\\e '), 'stock/\\x20a\\nb\\0c/d\\\\e\\x20');
  assert.is(addressArgument('stock/\\x20a\\nb\\0c/d\\\\e\\x20'), 'stock/ a\nb\0c/d\\e ');
  assert.is(escapeText('Grüner Tee 静岡県 🍵'), 'Grüner Tee 静岡県 🍵');
  assert.is(escapeText('\u202etxt'), '\\u{202e}txt');
});

units('what is no escape, or no address, is refused', () => {
  for (const text of ['a/\\q', 'a/b\\', 'a/\\x1', 'a/\\u{110000}', 'plain'])
    assert.is(failureOf(() => addressArgument(text)).code, 'usage');
});

units(
  'B14: clocks are compared with the one in the middle, and a wrong one here is not taken for wrong ones there',
  () => {
    const workers = (...ahead: (number | undefined)[]) =>
      ahead.map((aheadMs, index) => ({ entry: { id: `w${index}` }, report: undefined, aheadMs })) as never;
    const { aheadMs, skewMs, hereMs } = clocksOf(workers(-60_000, -60_010.4, -48_000, undefined));
    assert.equal(
      [...aheadMs],
      [
        ['w0', 0],
        ['w1', -10],
        ['w2', 12_000],
      ],
    );
    assert.equal([skewMs, hereMs], [12_010, 60_000]);
    const { skewMaxMs } = defaultLimits;
    assert.equal(clocksOf(workers()), { aheadMs: new Map(), skewMs: 0, hereMs: 0, skewMaxMs });
    const saying = (...said: (number | undefined)[]) =>
      said.map((one, index) => ({ entry: { id: `w${index}` }, report: { skewMaxMs: one }, aheadMs: 0 })) as never;
    assert.is(clocksOf(saying(undefined, 60_000, 50_000)).skewMaxMs, 50_000, 'that of the cluster');
    assert.is(clocksOf(saying(undefined)).skewMaxMs, skewMaxMs, 'an earlier worker says none');
    assert.equal([0, 12, -999, 12_345, -60_000].map(aheadText), ['0 ms', '+12 ms', '-999 ms', '+12.3 s', '-60.0 s']);
  },
);

units('a line of the log for people has what was thrown and where, not a whole stack', () => {
  const stack = 'Error: boom\n    at Object.fail (/app/app.ts:16:18)\n    at runOperation (/skerry/perform.ts:94:55)';
  assert.is(
    logText({ entity: 'stock/tea', operation: 'fail', stack }, 'a turn threw'),
    'stock/tea: a turn threw {"operation":"fail"}: Error: boom at Object.fail (/app/app.ts:16:18)',
  );
  assert.is(logText({ stack: 'only text' }, 'it threw'), 'it threw: only text');
  assert.is(logText({ error: 'gone', stack }, 'it failed'), 'it failed: gone');
});

units('doctor counts timers and holds that are due, and no housekeeping', async () => {
  const app = {
    limits: { closeIdleMs: 1_000 },
    scripts: { later: (turn: TallyTurn) => turn.timer('t', { afterMs: 30 * 60_000 }).add(1) },
  };
  await withTallies(app, async ({ tally, during, hand, cluster, gate }) => {
    await during(tally('quiet').add(1));
    await during(tally('timed').run('later'));
    await during(tally('held').add(5));
    await during(tally('held').take(1));
    await hand.advance(10);
    const sight = { store: gate, inspector: cluster.inspector, remembered: [] };
    const timersAt = async (now: number) => {
      const given = { environment: { ...hand, now: () => now }, output: { progress: () => undefined } } as never;
      const found = await during(contents(given, sight, { isRunning: true, versionOf: () => undefined }));
      return found.find(({ check }) => check === 'timers');
    };
    // A day later nobody has woken them: of the first only its partners are to be forgotten.
    const late = await timersAt(hand.now() + 24 * 3_600_000);
    assert.is(late?.verdict, 'wrong');
    assert.match(late?.text ?? '', /^1 timer and 1 hold of 2 entities, due for up to (?:23 h|1 d)$/);
    assert.is((await timersAt(hand.now()))?.text, 'none overdue');
  });
});

units('doctor names entities whose state is newer than their app, which nobody can serve', async () => {
  await withTallies({}, async ({ tally, during, hand, cluster, gate }) => {
    for (const key of ['a', 'b', 'c', 'd', 'e']) await during(tally(key).add(1));
    const sight = { store: gate, inspector: cluster.inspector, remembered: [] };
    const given = { environment: hand, output: { progress: () => undefined } } as never;
    const versionsBy = async (versionOf: (address: string) => number | undefined) => {
      const found = await during(contents(given, sight, { isRunning: true, versionOf }));
      return found.find(({ check }) => check === 'states');
    };
    for (const reads of [undefined, 1, 2]) assert.is((await versionsBy(() => reads))?.verdict, 'ok');
    const one = await versionsBy((address) => (address === 'tally/b' ? 0 : 1));
    assert.is(one?.verdict, 'wrong');
    assert.match(one?.text ?? '', /^1 entity cannot be served.*: tally\/b \(version 1, its app reads 0\)\. Run/);
    assert.match((await versionsBy(() => 0))?.text ?? '', /^5 entities .*tally\/a .*tally\/b .*tally\/c .*, …\. Run/);
  });
});

units('an app without a behaviour: to be a module is advised only where it is none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-module-'));
  try {
    const adviceFor = async (name: string, type?: string) => {
      await writeFile(join(folder, 'package.json'), JSON.stringify({ type }));
      await writeFile(join(folder, name), 'void 0;');
      const error: unknown = await loadApp(join(folder, name)).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof CliError);
      return error.failure.advice ?? '';
    };
    assert.match(await adviceFor('one.js'), /array; and set the type of the project to module/);
    assert.match(await adviceFor('two.js', 'module'), /array$/);
    assert.match(await adviceFor('three.mjs'), /array$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

units('a word for the shell', () => {
  assert.is(shellWord('stock/tea'), 'stock/tea');
  assert.is(shellWord(`{"a":"it's"}`), `'{"a":"it'\\''s"}'`);
});

units('JSON that is none: the position of the first character that cannot stand there', () => {
  const cases: [string, number][] = [
    ['', 1],
    ['{"units": tea}', 11],
    ['{"a":1,}', 8],
    ['[1,2', 5],
    ['[1 2]', 4],
    ["{'a':1}", 2],
    ['{"a" 1}', 6],
    ['1 2', 3],
    ['{"a":01}', 6],
    ['nulls', 1],
    ['[}', 2],
  ];
  for (const [text, position] of cases)
    assert.match(failureOf(() => parseJson(text, 'input')).message, new RegExp(`at character ${position},`), text);
  assert.match(failureOf(() => parseJson('hello', 'input')).advice ?? '', /'"hello"'/);
});

units('every text that JSON.parse refuses gets a position, and none that it takes', () => {
  const text = fc.string({ unit: fc.constantFrom(...'{}[],:"a1-.e \\n0tru'), maxLength: 12 });
  fc.assert(
    fc.property(text, (given) => {
      try {
        const value: unknown = JSON.parse(given);
        assert.equal(parseJson(given, 'input'), value);
      } catch {
        assert.match(failureOf(() => parseJson(given, 'input')).message, /at character \d+/);
      }
    }),
    { numRuns: 2_000 },
  );
});

units('values as JSON: bytes as base64, large integers as digits, nothing that a terminal obeys', () => {
  assert.is(jsonText({ a: new Uint8Array([1, 2, 3]), b: 2n ** 60n }), '{"a":"AQID","b":"1152921504606846976"}');
  assert.is(jsonText([Number.NaN, undefined]), '["NaN",null]');
  assert.is(jsonText('\u009b31m\u202e\u{e0001}'), '"\\u009b31m\\u202e\\udb40\\udc01"');
  assert.is(jsonText(undefined), 'null');
});

units('values for people: on one line where they fit, else a line per part', () => {
  assert.is(prettyJson({ a: 1, b: [] }, 80), '{ "a": 1, "b": [] }');
  assert.is(prettyJson({ a: 1, b: [1, 2] }, 16), '{\n  "a": 1,\n  "b": [1, 2]\n}');
});

units('widths: wide characters take two columns, marks none', () => {
  assert.is(widthOf('静岡'), 4);
  assert.is(widthOf('🍵x'), 3);
  assert.is(widthOf('e\u0301'), 1);
  assert.is(widthOf('\x1b[32mready\x1b[0m 静'), 8);
  assert.is(fitted('静岡県', 5), '静岡…');
  assert.is(fitted('abc', 3), 'abc');
  assert.equal(wrapped('one two three', 7), ['one two', 'three']);
});

units('tables: columns align, flexible ones give way, the last is never cut', () => {
  const columns = [{ title: 'n', isNumber: true }, { title: 'text', isFlexible: true }, { title: 'key' }];
  const rows = [
    ['1', '静岡', 'a'],
    ['22', 'a rather long text', 'stock/a-key-that-is-long'],
  ];
  assert.equal(tableLines(columns, rows, { width: Number.POSITIVE_INFINITY }), [
    ' n  text                key',
    ' 1  静岡                a',
    '22  a rather long text  stock/a-key-that-is-long',
  ]);
  assert.equal(tableLines(columns, rows, { width: 40 }), [
    ' n  text        key',
    ' 1  静岡        a',
    '22  a rather …  stock/a-key-that-is-long',
  ]);
});

units('addresses of servers are shown without what stands before the @', () => {
  assert.is(withoutLogin('nats://user:secret@host:4222,tls://token@other'), 'nats://host:4222,tls://other');
  assert.is(withoutLogin('redis://:secret@host'), 'redis://host');
  assert.is(withoutLogin('secret@host,other:1'), 'host,other:1');
  assert.is(withoutLogin('./data'), './data');
});

units('an option is also a variable', () => {
  assert.equal(['nats', 'tlsCa', 'appVersion'].map(variableOf), ['SKERRY_NATS', 'SKERRY_TLS_CA', 'SKERRY_APP_VERSION']);
});

units('times', () => {
  assert.is(span(999), '999 ms');
  assert.is(span(3_600_000), '1 h');
  assert.is(relative(1_000, 61_000), '1 min ago');
  assert.is(relative(61_000, 1_000), 'in 1 min');
});

units('did you mean', () => {
  assert.is(suggestion('stok', ['order', 'stock']), "did you mean 'stock'? there are: order, stock");
  assert.is(suggestion('zebra', ['order']), 'there is: order');
});

const command: Command = {
  name: 'call',
  parameters: '<type/key> <operation> [json]',
  summary: '',
  options: [
    { flag: '--idempotency-key <key>', description: '' },
    { flag: '--label <labels>', description: '', isList: true },
  ],
  notes: [],
  examples: [],
  run: async () => 0,
};

units('the command line: numbers stay text, negative ones are no options, what follows -- is no option', () => {
  const { args, options } = parse(['--json', 'call', 's/1', '007', '-5', '--idempotency-key', '007'], [command]);
  assert.equal(args, ['s/1', '007', '-5']);
  assert.equal(options, { json: true, idempotencyKey: '007' });
  assert.equal(parse(['--data', 'call', 'call', 's/1', '--', '--add'], [command]).args, ['s/1', '--add']);
  assert.is(parse(['call', 's/1', 'a', '--idempotency-key=-1e3'], [command]).options.idempotencyKey, '-1e3');
});

units('the command line: a list is given by commas, by repeating, or both', () => {
  const words = ['call', 's/1', 'a', '--label', 'x,y', '--label=z'];
  assert.is(parse(words, [command]).options.label, 'x,y,z');
  assert.is(parse(words.slice(0, -1), [command]).options.label, 'x,y');
});

units('the command line: what is missing, too much, twice or unknown is said', () => {
  const cases: [string[], RegExp][] = [
    [['call', 's/1'], /missing required args/i],
    [['call', 's/1', 'a', '1', '2'], /unused args: '2'/i],
    [['call', 's/1', 'a', '--force'], /unknown option '--force'/i],
    [['call', 's/1', 'a', '--data'], /value is missing/],
    [['call', 's/1', 'a', '--data', 'x', '--data', 'y'], /more than once/],
    [['cal', 's/1'], /no command 'cal'/],
  ];
  for (const [words, message] of cases) {
    const failure = failureOf(() => parse(words, [command]));
    assert.is(failure.code, 'usage');
    assert.match(failure.message, message);
  }
});

units.run();
