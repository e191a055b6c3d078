/**
 * What a user gets: the packed tarball, installed into an empty project, where README's first example is compiled against
 * the packed declarations and run.
 *
 * Time limit: 600 s.
 */
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { run } from '../support/job.ts';
import { assert, suite } from '../support/suite.ts';
import { machinePath, root } from '../support/tree.ts';

const packed = suite('package');

/** The oldest compiler that declarations are for; README says the same. */
const oldest = '5.6';

/** Where the tarball lies, and the user's project: made once, since installing takes longer than all the tests. */
let folder: string;
let project: string;
let installed: string;

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

async function manifestOf(packageFolder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8')) as Manifest;
}

/** Runs a command to its end; one that fails fails the test, with all that it printed. */
async function succeed(at: string, ...command: [string, ...string[]]): Promise<string> {
  const { how, exitCode, output } = await run({ command, folder: at, limitMs: 300_000, closeMs: 1_000 });
  if (how !== 'by itself' || exitCode !== 0) throw new Error(`${command.join(' ')} (${how}, ${exitCode}):\n${output}`);
  return output;
}

/** The examples that are whole files, marked by a comment that no reader sees; and where they are. */
const examples = {
  quickstart: 'README.md',
  spanning: 'README.md',
  timer: 'README.md',
  tsconfig: 'README.md',
  simulate: 'docs/testing.md',
  timers: 'docs/timers.md',
  enumerate: 'docs/testing.md',
} as const;

async function exampleOf(name: keyof typeof examples): Promise<string> {
  const text = await readFile(join(root, examples[name]), 'utf8');
  const [, example] = new RegExp(`<!-- example: ${name} -->\\s*\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(text) ?? [];
  assert.ok(example !== undefined, `${examples[name]} has no block after <!-- example: ${name} -->`);
  return example as string;
}

async function writeExample(name: keyof typeof examples): Promise<void> {
  await writeFile(join(project, `${name}.ts`), await exampleOf(name));
}

/** The stock of the first example as a module, which the second imports. */
async function writeStock(): Promise<void> {
  const [whole = ''] = (await exampleOf('quickstart')).split('const cluster =');
  await writeFile(join(project, 'stock.ts'), whole.replaceAll(/^const (?=[Ss]tock)/gm, 'export const '));
}

/** In the versions that this checkout has: the test is about our package, not about this week's of others. */
async function sameVersions(...names: string[]): Promise<string[]> {
  return Promise.all(
    names.map(async (name) => `${name}@${(await manifestOf(join(root, 'node_modules', name))).version}`),
  );
}

packed.before(
  async () => {
    folder = await mkdtemp(join(tmpdir(), 'skerry-package-'));
    await succeed(root, 'npm', 'pack', '--pack-destination', folder);
    const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'));
    assert.ok(tarball !== undefined, 'npm pack left no tarball');
    project = await mkdtemp(join(folder, 'project-'));
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
    const others = await sameVersions('valibot', 'typescript', 'tsx', '@types/node');
    others.push(`typescript-oldest@npm:typescript@~${oldest}.0`);
    await succeed(
      project,
      'npm',
      'install',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      join(folder, tarball as string),
      ...others,
    );
    installed = join(project, 'node_modules', 'skerry');
  },
  { timeoutMs: 400_000 },
);

packed.after(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

packed('holds what is needed and nothing else', async () => {
  const paths = await readdir(installed, { recursive: true, encoding: 'utf8', withFileTypes: true });
  const files = paths
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));
  const wanted = [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'dist/core/index.js',
    'dist/core/index.d.ts',
    'dist/runtime/cli/main.js',
    'dist/perf/main.js',
  ];
  assert.equal(
    wanted.filter((file) => !files.includes(file)),
    [],
  );
  const foreign = files.filter(
    (file) =>
      !wanted.includes(file) &&
      !/^(?:dist\/(?:core|placement|runtime|perf)\/.*\.(?:js|d\.ts)|docs\/.*|examples\/.*\.(?:ts|md))$/.test(file),
  );
  assert.equal(foreign, []);
  const texts = await Promise.all(
    files.map(async (file) => ({ file, text: await readFile(join(installed, file), 'utf8') })),
  );
  const pathsInside = texts.filter(({ text }) => machinePath.test(text) || text.includes(root)).map(({ file }) => file);
  assert.equal(pathsInside, []);
});

packed('what its documents link to is in it, headings as well', async () => {
  const inDocs = await readdir(join(installed, 'docs'), { recursive: true, encoding: 'utf8' });
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...inDocs.map((name) => `docs/${name}`)];
  const broken: string[] = [];
  let count = 0;
  for (const document of documents.filter((name) => name.endsWith('.md'))) {
    const text = await readFile(join(installed, document), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = '', heading] = target.split('#');
      const path = join(installed, file === '' ? document : join(document, '..', file));
      count += 1;
      const isThere = heading === undefined ? await exists(path) : (await headingsOf(path)).includes(heading);
      if (!isThere) broken.push(`${document}: ${target}`);
    }
  }
  assert.ok(count > 100, `${count} links`);
  assert.equal(broken, []);
});

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** As links name them: in small letters, without marks, with '-' for each space. */
async function headingsOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}

packed('publint has nothing to say', async () => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true });
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Record<string, unknown>;
  assert.equal(
    messages.map((message) => formatMessage(message, manifest, { color: false })),
    [],
  );
});

packed('every entry can be imported by plain node', async () => {
  const { exports } = await manifestOf(installed);
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'));
  for (const entry of entries) {
    const script = `console.log(Object.keys(await import('${entry.replace(/^\./, 'skerry')}')).length > 0)`;
    assert.match(await succeed(project, process.execPath, '--input-type=module', '--eval', script), /^true$/m);
  }
});

packed('the examples compile against the packed declarations, libraries checked as well', async () => {
  for (const name of ['quickstart', 'enumerate', 'simulate', 'timers'] as const) await writeExample(name);
  for (const module of ['nodenext', 'preserve']) {
    const compilerOptions = {
      target: 'es2023',
      module,
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
    };
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['quickstart.ts', 'enumerate.ts', 'simulate.ts', 'timers.ts'] }),
    );
    // Two packages have a command of that name.
    const tsc = join(project, 'node_modules/typescript/bin/tsc');
    await succeed(project, process.execPath, tsc, '-p', project, '--pretty', 'false');
  }
});

packed(
  'what an application infers can be named in its own declarations, by the newest compiler and the oldest supported',
  async () => {
    assert.match(await readFile(join(root, 'README.md'), 'utf8'), new RegExp(`TypeScript ${oldest} or later`));
    await writeFile(join(project, 'exported.ts'), await readFile(join(root, 'test/support/exported.ts.txt'), 'utf8'));
    const strict = { target: 'es2023', module: 'nodenext', strict: true, skipLibCheck: false, types: ['node'] };
    const compilerOptions = { ...strict, declaration: true, outDir: 'out' };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['exported.ts'] }));
    for (const compiler of ['typescript', 'typescript-oldest'])
      await succeed(
        project,
        process.execPath,
        join(project, 'node_modules', compiler, 'bin/tsc'),
        '-p',
        project,
        '--pretty',
        'false',
      );
  },
  { timeoutMs: 200_000 },
);

packed("README's tsconfig compiles README's examples, and an import of node", async () => {
  for (const name of ['quickstart', 'spanning', 'timer'] as const) await writeExample(name);
  await writeStock();
  await writeFile(
    join(project, 'server.ts'),
    "import { createServer } from 'node:http';\nexport default createServer;\n",
  );
  const config = JSON.parse(await exampleOf('tsconfig')) as object;
  const files = ['quickstart.ts', 'spanning.ts', 'timer.ts', 'server.ts'];
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ ...config, files }));
  const tsc = join(project, 'node_modules/typescript/bin/tsc');
  await succeed(project, process.execPath, tsc, '-p', project, '--pretty', 'false');
});

packed("README's request that spans two entities is answered with what the stock says", async () => {
  await writeExample('spanning');
  await writeStock();
  await writeFile(
    join(project, 'spanning-main.ts'),
    `import { embed } from 'skerry/runtime';
import { order, post } from './spanning.ts';
import { Stock, stock } from './stock.ts';
const cluster = await embed({ behaviours: [stock, order], store: './data-spanning' });
await cluster.entity(Stock, 'tea').receive({ units: 3 });
for (const id of ['one', 'one', 'two']) console.log(await post(cluster, id, 2));
await cluster.close();
`,
  );
  const output = await succeed(project, process.execPath, '--import', 'tsx', 'spanning-main.ts');
  assert.equal(output.trim().split('\n'), ['confirmed', 'confirmed', 'refused']);
});

packed("README's operation that only a timer may call refuses everybody else", async () => {
  await writeExample('timer');
  await writeFile(
    join(project, 'timer-main.ts'),
    `import { isSkerryError } from 'skerry';
import { play } from 'skerry/testing';
import { offer } from './timer.ts';
const begin = () => play(offer, 'tea');
const asked = (one: ReturnType<typeof begin>) => {
  try {
    one.ask.expire();
    return 'done';
  } catch (error) {
    return isSkerryError(error, 'refused') ? error.message : String(error);
  }
};
const [one, other] = [begin(), begin()];
for (const each of [one, other]) each.ask.renew();
console.log(asked(one), one.ask.status());
other.ask.accept();
for (const each of [one, other]) each.advance(60_000);
console.log(one.ask.status(), other.ask.status());
`,
  );
  const output = await succeed(project, process.execPath, '--import', 'tsx', 'timer-main.ts');
  assert.equal(output.trim().split('\n'), ['only the timer may do that open', 'expired accepted']);
});

packed("README's example runs", async () => {
  await writeExample('quickstart');
  const output = await succeed(project, process.execPath, '--import', 'tsx', 'quickstart.ts');
  assert.ok(output.trim() !== '', 'it prints something');
});

packed('the example of periodic timers runs', async () => {
  await writeExample('timers');
  const output = await succeed(project, process.execPath, '--import', 'tsx', 'timers.ts');
  assert.is(output.trim(), '2026-03-27 2026-03-28 2026-03-30');
});

packed('the example of enumerate() runs, and finds four ends', async () => {
  await writeExample('enumerate');
  const output = await succeed(project, process.execPath, '--import', 'tsx', join(project, 'enumerate.ts'));
  assert.match(output, /^ends: booked \d+, not booked: failed \d+/m);
});

packed(
  'the example of simulate() runs, finds nothing, and finds a mistake that is put into it',
  async () => {
    await writeExample('simulate');
    const path = join(project, 'simulate.ts');
    assert.match(await succeed(project, process.execPath, '--import', 'tsx', path), /^5 seeds, \d{3,} turns/m);
    const example = await readFile(path, 'utf8');
    const wrong = example.replace('turn.state.paid += units', 'turn.state.paid += units + 1');
    assert.is.not(wrong, example);
    await writeFile(path, wrong);
    const { exitCode, output } = await run({
      command: [process.execPath, '--import', 'tsx', path],
      folder: project,
      limitMs: 100_000,
      closeMs: 1_000,
    });
    assert.ok(exitCode !== 0, output);
    assert.match(output, /more paid than sold/);
  },
  { timeoutMs: 200_000 },
);

packed('npx skerry --help shows the commands', async () => {
  const output = await succeed(project, 'npx', '--no', '--', 'skerry', '--help');
  for (const command of ['run', 'call', 'get', 'log', 'list', 'dead', 'doctor'])
    assert.match(output, new RegExp(`\\b${command}\\b`));
});

packed('npx skerry perf measures where only the package is installed', async () => {
  const words = ['counter', '--store', 'lmdb', '--duration', '500ms', '--repeats', '1', '--quiet', '--json', '-'];
  const output = await succeed(project, 'npx', '--no', '--', 'skerry', 'perf', ...words);
  const report = JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '') as Record<string, unknown>;
  assert.is(report.scenario, 'counter');
  assert.equal([report.lost, report.doubled], [0, 0]);
  assert.match((report.versions as { skerry: string }).skerry, /^\d+\.\d+\.\d+/);
});

packed.run();
