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
 * Type instantiations of one contract with its behaviour against the declarations of the package, as an application compiles it: a fifth
 * above what was measured. The schemas of the contract take 4,162 of them by themselves. A number that grows past the budget is an editor
 * that gets slow: look for a type that is computed once per use.
 */
const budget = { typical: 9_300, withTypo: 8_600 };

interface Compiled {
  readonly instantiations: number;
  readonly errors: readonly string[];
}

/** An application beside the package's declarations, outside of the tree: a mistake must not stand in it. */
let folder: string;

typing.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skerry-typing-'));
  await mkdir(join(folder, 'test', 'typing'), { recursive: true });
  for (const name of ['node_modules', 'package.json']) await symlink(join(root, name), join(folder, name));
  // Declarations alone: checking the package's own code is no part of what an application pays.
  const output = await tsc({
    extends: join(root, 'tsconfig.build.json'),
    compilerOptions: { types: ['node'], emitDeclarationOnly: true, noCheck: true, rootDir: root, outDir: folder },
    include: [],
    files: [join(root, 'core/index.ts')],
  });
  assert.not.match(output, /error TS/);
});

typing.after(() => rm(folder, { recursive: true }));

async function tsc(project: object): Promise<string> {
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project));
  // One checker: with several, each counts what it instantiates for itself.
  const options = ['--extendedDiagnostics', '--singleThreaded', '--pretty', 'false'];
  const command = [join(root, 'node_modules/.bin/tsc'), '-p', folder, ...options] as const;
  return (await run({ command, folder, limitMs: 60_000, closeMs: 1_000 })).output;
}

async function compile(source: string): Promise<Compiled> {
  await writeFile(join(folder, 'test/typing/sample.ts'), source);
  const files = ['test/typing/sample.ts'];
  const output = await tsc({
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { types: ['node'] },
    include: [],
    files,
  });
  const instantiations = Number(/^Instantiations:\s+(\d+)$/m.exec(output)?.[1]);
  const errors = output.split(/\n(?!\s)/).filter((line) => line.includes('error TS'));
  return { instantiations, errors };
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

typing('an async handler of an operation, an answer or an effect is one error that ends with its reason', async () => {
  const source = await typical();
  const shop = `import { behaviour, command, effect, entity, settled, unchecked } from '../../core/index.ts';
const Shop = entity('shop', { initial: () => ({ n: 0 }), operations: { buy: command(), count: command(undefined, unchecked<number>()) } });
const mail = effect('mail', async () => undefined);
export const shop = behaviour(Shop, { buy() {}, count: () => 1 }, { effects: [settled(Shop, mail, () => {})] });\n`;
  for (const [before, part, awaited, wanted] of [
    [source, 'receive(turn, { units }) {', 'async receive(turn, { units }) {', 'SynchronousOutput<void | Later<void>>'],
    [source, 'receive(turn, answer) {', 'async receive(turn, answer) {', 'SynchronousOutput<void>'],
    [source, 'confirm(turn, { units }) {', 'async confirm(turn, { units }) {', 'SynchronousOutput<void>'],
    [shop, 'buy() {}', 'async buy() {}', 'SynchronousOutput<void | Later<void>>'],
    [shop, '() => {})', 'async () => {})', 'SynchronousOutput<void>'],
    [shop, '() => 1', 'async () => 1', 'SynchronousOutput<number | Later<number>>'],
  ] as const) {
    assert.ok(before.includes(part), part);
    const { errors } = await compile(before.replace(part, awaited));
    assert.is(errors.length, 1, errors.join('\n'));
    assert.ok(errors[0]?.trimEnd().endsWith(`is not assignable to type '${wanted}'.`), errors[0]);
  }
});

typing('an activity that the contract does not declare is named in a short message', async () => {
  const source = (body: string) => `import { answers, behaviour, command, entity } from '../../core/index.ts';
const Shop = entity('shop', { initial: () => ({}), operations: { buy: command() } });
const Shelf = entity('shelf', { initial: () => ({}), activities: { shelf: () => ({ moved: 0 }) }, operations: { take: command() } });
export const shop = behaviour(Shop, { buy(turn) { ${body} } });
export const shelf = behaviour(Shelf, { take() {} }, { answers: [answers(Shelf, Shop, { buy(turn) { ${body} } })] });\n`;
  for (const body of ["turn.to(Shop, 'a').activity.moved += 1;", "turn.to(Shop, 'a').activity = { moved: 1 };"]) {
    const { errors } = await compile(source(body));
    assert.is(errors.length, 2, errors.join('\n'));
    for (const error of errors)
      assert.match(error, /'moved' does not exist (?:on|in) type 'ActivityIsNotInTheContract'/);
    for (const error of errors) assert.ok(error.length < 180, error);
  }
  const { errors } = await compile(source('turn.activity.moved += 1;'));
  assert.is(errors.filter((error) => error.includes("does not exist on type 'ActivityIsNotInTheContract'")).length, 2);
});

typing('a type without a schema is named in the message', async () => {
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
