/**
 * What contracts and behaviours cost the compiler, and what it says of a mistake.
 *
 * The positive and negative cases are `typing/*.ts`: they compile, or not, in the step `tsc` of `npm test`.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/job.ts';
import { assert, suite } from '../support/suite.ts';
import { root } from '../support/tree.ts';

const typing = suite('typing');

/**
 * Type instantiations of one contract with its behaviour, libraries included. It was set a fifth above what was
 * measured then, and nearly all of that is used. A number that grows past it is an editor that gets slow: look for a type that is
 * computed once per use.
 */
const budget = { typical: 12_500, withTypo: 13_100 };

interface Compiled {
  readonly instantiations: number;
  readonly errors: readonly string[];
  /** The same with the lines that explain them. */
  readonly output: string;
}

/** Compiles a source alone, from a folder outside of the tree: a mistake must not stand in it. */
async function compile(source: string): Promise<Compiled> {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-typing-'));
  try {
    await mkdir(join(folder, 'test', 'typing'), { recursive: true });
    for (const name of ['node_modules', 'core', 'package.json']) await symlink(join(root, name), join(folder, name));
    await writeFile(join(folder, 'test/typing/sample.ts'), source);
    const project = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { types: ['node'] },
      include: [],
      files: ['test/typing/sample.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project));
    // One checker: with several, each counts what it instantiates for itself.
    const tsc = [
      join(root, 'node_modules/.bin/tsc'),
      '-p',
      folder,
      '--extendedDiagnostics',
      '--singleThreaded',
      '--pretty',
      'false',
    ] as const;
    const { output } = await run({ command: tsc, folder, limitMs: 60_000, closeMs: 1_000 });
    const instantiations = Number(/^Instantiations:\s+(\d+)$/m.exec(output)?.[1]);
    return { instantiations, output, errors: output.split('\n').filter((line) => line.includes('error TS')) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function typical(): Promise<string> {
  return readFile(join(root, 'test/typing/typical.ts'), 'utf8');
}

typing('a typical contract and behaviour stay within their budget of type instantiations', async () => {
  const { instantiations, errors } = await compile(await typical());
  assert.equal(errors, []);
  assert.ok(instantiations > 0 && instantiations <= budget.typical, `${instantiations} of ${budget.typical}`);
});

typing('a misspelt operation costs little more, and the message names it', async () => {
  const source = await typical();
  const misspelt = source.replace('receive(turn, { units })', 'recieve(turn, { units })');
  assert.is.not(misspelt, source);
  const { instantiations, errors } = await compile(misspelt);
  assert.ok(instantiations > 0 && instantiations <= budget.withTypo, `${instantiations} of ${budget.withTypo}`);
  assert.match(errors[0] ?? '', /recieve/);
  assert.ok(errors[0]?.includes('sample.ts'));
});

typing('an async handler, and a type without a schema, are named in the message', async () => {
  const source = await typical();
  const awaited = source.replace('receive(turn, { units })', 'async receive(turn, { units })');
  assert.is.not(awaited, source);
  assert.match((await compile(awaited)).output, /'Promise<void>' is not assignable to type 'SynchronousOutput</);
  for (const made of ['command<{ n: number }>()', 'query<number>()', 'tentative<number>()']) {
    const operations = `{ initial: () => 0, operations: { one: ${made} } }`;
    const bare = `import { command, entity, query, tentative } from '../../core/index.ts';
export const all = [command, query, tentative, entity('bare', ${operations})];\n`;
    assert.match((await compile(bare)).errors.join('\n'), /'TypesComeFromSchemas' is not assignable/, made);
  }
});

typing('a tentative operation as one function is named in a short message, and nothing else is wrong', async () => {
  const source = (body: string) => `import { behaviour, entity, tentative, unchecked } from '../../core/index.ts';
const Stock = entity('stock', { initial: () => ({ free: 0 }), operations: { reserve: tentative(unchecked<number>()) } });
export const stock = behaviour(Stock, { reserve${body} });\n`;
  const { errors } = await compile(source('(turn, units) { turn.state.free -= units; }'));
  assert.is(errors.length, 2);
  assert.ok(errors.every((error) => error.includes('TentativeOperationNeedsThreeFunctions')));
  const short = errors.find((error) => error.length < 140);
  assert.match(short ?? '', /Property 'state' does not exist on type 'TentativeOperationNeedsThreeFunctions'/);
  for (const body of ['() {}', ': () => { throw new Error(); }'])
    assert.match((await compile(source(body))).errors.join('\n'), /TentativeOperationNeedsThreeFunctions/, body);
});

typing('every case that must not compile says why', async () => {
  const folder = join(root, 'test/typing');
  const names = await readdir(folder);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  const directives = texts.join('\n').match(/@ts-expect-error.*/g) ?? [];
  assert.ok(directives.length > 60);
  assert.equal(
    directives.filter((directive) => !/@ts-expect-error \S.{5,}/.test(directive)),
    [],
  );
  assert.not.match(texts.join('\n'), /\bas any\b/);
});

typing.run();
