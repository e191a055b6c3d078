/** What pages say of the code, and can be read off it: log messages, limits, error codes, and the tests that show a promise. */
import { errorCodes } from '../../core/errors.ts';
import { defaultLimits } from '../../core/limits.ts';
import { assert, suite } from '../support/suite.ts';
import { filesOf, textOf } from '../support/tree.ts';

const test = suite('pages');
const product = filesOf(['core/', 'placement/', 'runtime/'], '.ts');
const pages = filesOf(['', 'docs/'], '.md').filter(({ path }) => !path.startsWith('docs/decisions/'));
const operations = textOf('docs/operations.md') ?? '';

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** A message as a page quotes it (numbers for what the code puts in, `…` for the rest), as an expression for the source. */
function inSource(quoted: string): RegExp {
  const words = escaped(quoted.replace(/:? ?…$/, '')).replace(/\d+/g, "(?:\\d+|\\$$\\{\\w+\\}|' \\+ \\w+ \\+ ')");
  return new RegExp(`['"\`]${words}`);
}

/** The levels at which a file logs this message: by the nearest call before it. */
function levelsOf(text: string, message: RegExp): string[] {
  const at = message.exec(text)?.index ?? -1;
  const calls = [...text.slice(0, at).matchAll(/\blog(?:\.(info|warn|error)\(|\[\w+ \? '(\w+)' : '(\w+)'\]\()/gi)];
  return (calls.at(-1) ?? []).slice(1).filter((level) => level !== undefined);
}

test('the log messages that docs/operations.md explains are written, at the levels that it says', () => {
  const table = operations.split('## Log messages')[1] ?? '';
  const rows = [...table.matchAll(/^\| (`.+?`) \| (\w+(?:, \w+)?) \| .+ \|$/gm)];
  assert.ok(rows.length >= 20, `${rows.length} rows`);
  for (const [, messages = '', levels = ''] of rows)
    for (const [, message = ''] of messages.matchAll(/`([^`]+)`/g)) {
      const expression = inSource(message);
      const found = product.filter(({ text }) => expression.test(text));
      assert.is(found.length, 1, `${message}: in ${found.length} files`);
      // The thread beside a turn writes by itself.
      if (found[0]?.path === 'runtime/watchdog.ts') continue;
      const written = levelsOf(found[0]?.text ?? '', expression);
      for (const level of levels.split(', '))
        assert.ok(written.includes(level), `${message}: ${written}, not ${level}`);
    }
});

test('docs/operations.md has each limit once, with its default', () => {
  const rows = [...operations.matchAll(/^\| `(\w+)` \| ([\d,.]+)(?: \([^)]*\))? \| [\w ]+ \| .+ \|$/gm)];
  const listed = rows.map(([, name, value = '']) => [name, Number(value.replaceAll(',', ''))]);
  assert.equal(listed, Object.entries(defaultLimits));
});

test('docs/errors.md explains each code in the words of core/errors.ts', () => {
  const page = textOf('docs/errors.md') ?? '';
  for (const [code, meaning] of Object.entries(errorCodes))
    assert.ok(page.includes(`\n| \`${code}\` | ${meaning}`), `${code}: ${meaning}`);
});

test('tests that pages name are there, and have the rules that the pages cite', () => {
  const cited = pages.flatMap(({ path, text }) =>
    [
      ...text.replaceAll('\n', ' ').matchAll(/`(test\/[\w./-]+\.ts)` (?:\(([^()]+)\)|((?:[A-Z]{1,2}\d+(?:, )?)+))/g),
    ].map(([, file = '', inside = '', after = '']) => ({
      path,
      file,
      rules: `${inside} ${after}`.match(/\b[A-Z]{1,2}\d{1,2}\b/g) ?? [],
    })),
  );
  assert.ok(cited.length >= 20, `${cited.length} citations`);
  const missing = cited.flatMap(({ path, file, rules }) => {
    const text = textOf(file);
    if (text === undefined) return [`${path}: there is no ${file}`];
    return rules
      .filter((rule) => !new RegExp(`\\b${rule}\\b`).test(text))
      .map((rule) => `${path}: ${file} has no ${rule}`);
  });
  assert.equal(missing, []);
});

test.run();
