import { citedBy, functionsOf, importsOf, invariantsOf, mask, packageOf, sizesOf } from './source.ts';
import { assert, suite } from './suite.ts';

const scanner = suite('source scanner');

const shown = (source: string) => mask(source).code.replace(/ +/g, ' ');
const names = (source: string) => functionsOf(mask(source)).map(({ name, first, last }) => `${name} ${first}-${last}`);

scanner('comments and the insides of strings are no code; lines and columns stay', () => {
  const source = `a('it\\'s {'); // {\nb("{" /* } */, c);\n/** {\n * { */ d();`;
  const { text, code } = mask(source);
  assert.is(text.length, source.length);
  assert.is(code.length, source.length);
  assert.is(shown(source), `a(' '); \nb(" " , c);\n \n d();`);
  assert.match(text, /it\\'s \{/);
});

scanner('templates: text is no code, what is between their braces is, templates inside included', () => {
  assert.is(shown("a(`x { ${b({ c: '}' })} } ${`in ${d} {`} $e`);"), "a(` ${b({ c: ' ' })} ${` ${d} `} `);");
});

scanner('regular expressions are told from divisions', () => {
  assert.is(shown('const a = /[/{]\\/{/.test(b) / c / 2;'), 'const a = / /.test(b) / c / 2;');
  assert.is(shown("return /'{/g;"), 'return / /g;');
  assert.is(shown('x = (a + b) / c; // /{'), 'x = (a + b) / c; ');
});

scanner('imports: plain, of types, re-exports, dynamic, over several lines; not those in texts', () => {
  const source = `import a from 'one';
import type { B } from "@two/b/deep";
import {
  c,
} from './three.ts';
export * from './four.ts';
import 'five';
await import('node:six');
const text = "import x from 'seven'"; // from 'eight'
const more = \`from 'nine'\`;`;
  const found = importsOf(mask(source));
  assert.equal(found, ['one', '@two/b/deep', './three.ts', './four.ts', 'five', 'node:six']);
  assert.equal(found.map(packageOf), ['one', '@two/b', undefined, undefined, 'five', undefined]);
});

scanner('functions: declarations, methods, accessors, arrows, whatever their return types', () => {
  const source = `export async function one<T extends { a: 1 }>(x: { b: T }): Promise<{ c: T }> {
  return x;
}
function two(x: unknown): x is { a: number } {
  return true;
}
function overload(): void;
class A {
  constructor(a = () => {}) {
  }
  static async *three(): AsyncGenerator<{ a: 1 } | { b: 2 }> {
  }
  get #four(): { a: number } {
    return { a: 1 };
  }
}
const five = (a: number): { b: number } => ({ b: a });
const six = (a: number): { b: number } => {
  return { b: a };
};
call('seven', async () => {
  if (six(1)) {
    other(2);
  }
  for (const a of b(c)) {
  }
});
const object = {
  eight(a) {
    return a ? b(a) : { c: 1 };
  },
};`;
  assert.equal(names(source), [
    'one 1-3',
    'two 4-6',
    'constructor 9-10',
    'constructor 9-9',
    'three 11-12',
    '#four 13-15',
    'six 18-20',
    'call 21-27',
    'eight 29-31',
  ]);
});

scanner('own lines of a function are without the functions that it holds', () => {
  const source = `function suite() {
  test('a', () => {
    one(() => {
      two();
    });
  });
  test('b', () => {
    three();
  });
}`;
  const [outer, first] = sizesOf(functionsOf(mask(source)));
  assert.is(outer?.lines, 10);
  assert.is(outer?.ownLines, 4);
  assert.is(first?.lines, 5);
  assert.is(first?.ownLines, 3);
});

scanner('invariants are read from the head only, citations from names of tests', () => {
  const source = `/**
 * A thing.
 * - S1 One, which goes on
 *   as S7 says.
 * S2: Two.
 * P4 is mentioned.
 */
/** - S9 not the head */`;
  assert.equal(invariantsOf(source), ['S1', 'S2']);
  assert.equal(invariantsOf('import a; /** - S1 late */'), []);
  const cited = citedBy(
    "t('S1: one', f); t(\n  `${name}: S3–S5, P2 more`,\n f); // t('S8: no', f)\nconst a = 'S9: no';",
  );
  assert.equal([...cited], ['S1', 'S3', 'S4', 'S5', 'P2']);
});

scanner.run();
