/** What no tool checks for us: the house rules that can be read off the sources. CONTRIBUTING.md says why they are. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCodes } from '../../core/errors.ts';
import { counterNames } from '../../runtime/meter.ts';
import { allMutants } from '../mutants/all.ts';
import { argued } from '../mutants/argued.ts';
import { citedBy, functionsOf, importsOf, invariantsOf, mask, packageOf, sizesOf } from '../support/source.ts';
import { assert, suite } from '../support/suite.ts';
import { allPaths, filesOf, machinePath, root, type SourceFile, textOf } from '../support/tree.ts';
import { sourceProblems } from '../support/verdict.ts';

const tidy = suite('tidy');
const layers = ['core/', 'placement/', 'runtime/'];
const product = filesOf(layers);
const sources = filesOf([...layers, 'examples/', 'perf/', 'test/']);
const pages = [...filesOf([''], '.md')];

/** Where a package that hides a decision is imported: a file, or one file of a folder. Every other has one file, too. */
const homes: Readonly<Record<string, string>> = {
  '@standard-schema/spec': 'core/operation.ts',
  lmdb: 'runtime/stores/lmdb/store.ts',
  ioredis: 'runtime/stores/redis/link.ts',
  nats: 'runtime/transports/nats/connection.ts',
  pino: 'runtime/log.ts',
  cac: 'runtime/cli/',
};

/** Functions of 51 to 70 lines, by `path name`, with the reason. Shrinks: nothing is added here lightly. */
const longFunctions: Readonly<Record<string, string>> = {};

const functionLines = { usual: 50, most: 70 };
const fileLines = { usual: 400, most: 600 };
const longFileReason = 'Longer than 400 lines because';

/** Names that say nothing about what is inside. */
const emptyNames = ['utils', 'util', 'helpers', 'helper', 'common', 'types', 'interfaces', 'impl', 'manager'];

/** What is not deterministic, and what writes: each has its one file. */
const confined: readonly { readonly what: RegExp; readonly home: readonly string[] }[] = [
  { what: /\bDate\.now\b|\bnew Date\(\)|(?<![\w.])Date\(\)/, home: ['runtime/environment.ts'] },
  { what: /\bperformance\.now\b|\bprocess\.hrtime\b/, home: ['runtime/environment.ts'] },
  { what: /\bMath\.random\b/, home: ['runtime/environment.ts'] },
  { what: /\b(?:randomUUID|randomBytes|randomInt|randomFillSync|getRandomValues)\b/, home: ['runtime/environment.ts'] },
  { what: /(?<![\w.#])(?:globalThis\.)?set(?:Timeout|Interval|Immediate)\(/, home: ['runtime/environment.ts'] },
  { what: /(?<![\w.])console\./, home: ['runtime/cli/'] },
  { what: /\bprocess\.std(?:out|err)\b/, home: ['runtime/cli/', 'runtime/log.ts'] },
];

/** Fails with every offence, so that one run shows them all; where this file says so is of no interest. */
function none(offences: readonly string[]): void {
  if (offences.length === 0) return;
  throw Object.assign(new Error(`\n    ${offences.join('\n    ')}`), { stack: '' });
}

/** The lines on which a pattern occurs in a file's code. */
function linesWith(text: string, what: RegExp): number[] {
  return text.split('\n').flatMap((line, index) => (what.test(line) ? [index + 1] : []));
}

tidy('there is something to check', () => {
  assert.ok(product.length > 10 && sources.length > product.length && pages.length > 0);
});

tidy('imports point one way: core ← placement ← runtime', () => {
  const offences: string[] = [];
  for (const { path, text } of product) {
    const layer = layers.findIndex((name) => path.startsWith(name));
    for (const specifier of importsOf(mask(text))) {
      const target = specifier.startsWith('.') ? join(dirname(path), specifier) : specifier;
      const isAbove = layers.some((name, index) => index > layer && target.startsWith(name));
      const isOutside = specifier.startsWith('.') && !layers.some((name) => target.startsWith(name));
      const isImpure = layer === 0 && specifier.startsWith('node:');
      if (isAbove || isOutside || isImpure) offences.push(`${path} imports ${specifier}`);
    }
  }
  none(offences);
});

/** The rooms of the runtime. Each may import from those of a lower rank, and from itself; stores and transports from contracts alone. */
const ranks: Readonly<Record<string, number>> = {
  contracts: 0,
  stores: 1,
  transports: 1,
  wire: 1,
  entity: 2,
  client: 2,
  routing: 2,
  worker: 3,
  cluster: 4,
  admin: 5,
  doors: 6,
  cli: 7,
  testing: 7,
};
/** Files at the runtime's root that every room may import; all others there are doors. */
const contracts = ['clocks', 'environment', 'log', 'meter', 'store', 'transport', 'watchdog'];

function roomOf(path: string): string {
  const [, room = '', file] = path.split('/');
  if (file !== undefined) return room;
  return contracts.includes(room.replace('.ts', '')) ? 'contracts' : 'doors';
}

tidy('rooms of the runtime import downwards only', () => {
  const offences: string[] = [];
  const seen = new Set<string>();
  for (const { path, text } of filesOf(['runtime/'])) {
    const room = roomOf(path);
    seen.add(room);
    for (const specifier of importsOf(mask(text)).filter((one) => one.startsWith('.'))) {
      const target = join(dirname(path), specifier);
      if (!target.startsWith('runtime/') || roomOf(target) === room) continue;
      const [here, there] = [ranks[room], ranks[roomOf(target)]];
      if (here === undefined || there === undefined || there >= here) offences.push(`${path} imports ${specifier}`);
    }
  }
  assert.equal([...seen].sort(), Object.keys(ranks).sort());
  none(offences);
});

tidy('each package is imported in one file', () => {
  const importers = new Map<string, Set<string>>();
  for (const { path, text } of product) {
    const packages = importsOf(mask(text)).map(packageOf);
    for (const name of packages)
      if (name !== undefined) importers.set(name, (importers.get(name) ?? new Set()).add(path));
  }
  const offences = [...importers].flatMap(([name, paths]) => {
    const home = homes[name] ?? '';
    const away = [...paths]
      .filter((path) => !path.startsWith(home))
      .map((path) => `${path} imports ${name} of ${home}`);
    return paths.size > 1 ? [...away, `${name} is imported in ${[...paths].join(', ')}`] : away;
  });
  none(offences);
});

/** Packages that are loaded with a file, by what it imports at once. */
function loadedWith(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  const text = product.find((file) => file.path === path)?.text ?? '';
  const values = importsOf(mask(text.replace(/^(?:import|export) type [^;]*;/gm, '').replace(/\bimport\('/g, "('")));
  return values.flatMap((specifier) => {
    const name = packageOf(specifier);
    return name === undefined ? loadedWith(join(dirname(path), specifier), seen) : [name];
  });
}

tidy('no entry loads a store, NATS, or what perf measures with before it is used', () => {
  for (const entry of ['runtime/client-index.ts', 'runtime/index.ts']) {
    const loaded = loadedWith(entry);
    assert.ok(loaded.includes('pino'), loaded.join());
    none(loaded.filter((name) => ['lmdb', 'ioredis', 'nats', 'hdr-histogram-js'].includes(name)));
  }
});

tidy('files are at most 400 lines, or say why; never more than 600', () => {
  none(
    sources.flatMap(({ path, text }) => {
      const lines = text.split('\n').length - 1;
      if (lines > fileLines.most) return [`${path} has ${lines} lines`];
      const isExplained = /^\/\*\*[\s\S]*?\*\//.exec(text)?.[0].includes(longFileReason) ?? false;
      return lines > fileLines.usual && !isExplained
        ? [`${path} has ${lines} lines; its head does not say '${longFileReason}'`]
        : [];
    }),
  );
});

/** In tests the functions that a suite holds are its tests: they count for themselves. */
function longOnes({ path, text }: SourceFile): { readonly id: string; readonly lines: number }[] {
  return sizesOf(functionsOf(mask(text)))
    .map(({ span, lines, ownLines }) => ({
      id: `${path} ${span.name}`,
      lines: path.startsWith('test/') ? ownLines : lines,
    }))
    .filter(({ lines }) => lines > functionLines.usual);
}

tidy('functions are at most 50 lines, or listed; never more than 70', () => {
  const long = sources.flatMap(longOnes);
  const tooLong = long.filter(({ id, lines }) => lines > functionLines.most || longFunctions[id] === undefined);
  const gone = Object.keys(longFunctions).filter((id) => !long.some((one) => one.id === id));
  none([
    ...tooLong.map(({ id, lines }) => `${id}: ${lines} lines`),
    ...gone.map((id) => `${id} is no longer long: take it off the list`),
  ]);
});

tidy('clock, chance, timers and output are in their one file', () => {
  none(
    product.flatMap(({ path, text }) => {
      const { code } = mask(text);
      const foreign = confined.filter(({ home }) => !home.some((one) => path.startsWith(one)));
      return foreign.flatMap(({ what, home }) =>
        linesWith(code, what).map((line) => `${path}:${line} belongs in ${home.join(' or ')}`),
      );
    }),
  );
});

tidy('every invariant is declared once, and cited by the name of a test', () => {
  const cited = new Set(
    filesOf(['test/']).flatMap(({ path, text }) => (path.startsWith('test/support/') ? [] : [...citedBy(text)])),
  );
  const declared = new Map<string, string>();
  const offences: string[] = [];
  for (const { path, text } of product) {
    for (const number of invariantsOf(text)) {
      if (declared.has(number)) offences.push(`${number} is declared in ${declared.get(number)} and in ${path}`);
      declared.set(number, path);
      if (!cited.has(number)) offences.push(`${number} of ${path} is cited by no test's name`);
    }
  }
  none(offences);
});

tidy('where a page says from which to which invariant a file has them, it has them', () => {
  const claims = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/`(\w[\w/-]*\.ts)`[^`]*?\b([A-Z]+)(\d+) to \2(\d+)\b/g)].map(
      ([, file, letters, first, last]) => ({
        path,
        file: file as string,
        letters: letters as string,
        range: [Number(first), Number(last)],
      }),
    ),
  );
  assert.ok(claims.length >= 2, `${claims.length} claims`);
  none(
    claims
      .filter(({ file, letters, range }) => {
        const numbers = [...(textOf(file) ?? '').matchAll(new RegExp(`^ \\* - ${letters}(\\d+) `, 'gm'))].map(
          ([, number]) => Number(number),
        );
        return Math.min(...numbers) !== range[0] || Math.max(...numbers) !== range[1];
      })
      .map(({ path, file, letters }) => `${path} says other than ${file} which ${letters} there are`),
  );
});

tidy('docs/errors.md lists the codes of core/errors.ts', () => {
  const page = textOf('docs/errors.md');
  assert.ok(page !== undefined, 'docs/errors.md is missing');
  const listed = [...page.matchAll(/^(?:\| *|#+ |- )`([a-z-]+)`/gm)].map(([, code]) => code as string);
  assert.equal([...new Set(listed)].sort(), Object.keys(errorCodes).sort());
});

tidy('docs/operations.md lists the counters of runtime/meter.ts, with what they mean', () => {
  const rows = [...(textOf('docs/operations.md') ?? '').matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)].map(
    ([, name, meaning]) => [name as string, meaning as string] as const,
  );
  const listed = rows.filter(([name]) => Object.hasOwn(counterNames, name));
  assert.equal(Object.fromEntries(listed), counterNames);
});

tidy("no machine's paths", () => {
  none(
    allPaths().flatMap((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      if (path === 'package-lock.json' || text.includes('\0')) return [];
      return linesWith(text, machinePath).map((line) => `${path}:${line}`);
    }),
  );
});

tidy('names of files and folders say something', () => {
  none(allPaths().filter((path) => path.split('/').some((part) => emptyNames.includes(part.replace(/\..*$/, '')))));
});

tidy('each decision has a number of its own, and its heading says it', () => {
  const decisions = filesOf(['docs/decisions/'], '.md').map(({ path, text }) => {
    const [number = ''] = /\d{4}/.exec(path) ?? [];
    return { path, number, isSaid: text.startsWith(`# ${number}`) };
  });
  const count = (number: string) => decisions.filter((one) => one.number === number).length;
  none(decisions.filter(({ number, isSaid }) => count(number) > 1 || !isSaid).map(({ path }) => path));
});

tidy('folders nest two levels: a layer, its rooms, and what is a folder of its own in one', () => {
  none(product.map(({ path }) => path).filter((path) => path.split('/').length > 4));
});

tidy('every suite is run, and none of its tests alone, in shared suites too', () => {
  none(filesOf(['test/']).flatMap(({ path, text }) => sourceProblems(text).map((problem) => `${path}: ${problem}`)));
});

tidy("README's test command is what .ci/run runs", () => {
  const readme = textOf('README.md');
  const ci = textOf('.ci/run');
  assert.ok(readme !== undefined && ci !== undefined, 'README.md or .ci/run is missing');
  const commands = [...readme.matchAll(/^```(?:sh|bash|console)\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
    (block as string).split('\n'),
  );
  const command = commands.find((line) => /\bnpm test\b/.test(line));
  assert.is(command, 'npm run servers && npm ci && npm test');
  assert.ok(ci.split('\n').includes(command as string), `.ci/run does not have the line '${command}'`);
});

tidy('scripts that pages name exist', () => {
  const { scripts } = JSON.parse(textOf('package.json') ?? '') as { scripts: Record<string, string> };
  none(
    pages.flatMap(({ path, text }) => {
      const named = [...text.matchAll(/\bnpm (?:run (?:-s |--silent )?([\w:-]+)|(start|test)\b)/g)].map(
        ([, run, known]) => (run ?? known) as string,
      );
      return named.filter((name) => !Object.hasOwn(scripts, name)).map((name) => `${path}: npm run ${name}`);
    }),
  );
});

tidy('the lock file has every optional dependency, those of other platforms too: npm ci refuses it otherwise', () => {
  type Locked = { readonly optionalDependencies?: Readonly<Record<string, string>> };
  const { packages } = JSON.parse(textOf('package-lock.json') ?? '') as { packages: Record<string, Locked> };
  const wanted = Object.values(packages).flatMap((one) => Object.keys(one.optionalDependencies ?? {}));
  const locked = Object.keys(packages);
  none(wanted.filter((name) => !locked.some((path) => path.endsWith(`node_modules/${name}`))));
});

/** Headings as the anchors that code hosts make of them. */
function anchorsOf(page: string): Set<string> {
  const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading as string);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replace(/ /g, '-'),
    ),
  );
}

function brokenLinks({ path, text }: SourceFile): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '');
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link as string)
    .filter((link) => !/^[a-z]+:/.test(link));
  return links
    .filter((link) => {
      const [file, anchor] = link.split('#') as [string, string?];
      const target = file === '' ? path : join(dirname(path), file);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(textOf(target) ?? '').has(anchor);
    })
    .map((link) => `${path}: ${link}`);
}

tidy('links between pages lead somewhere', () => {
  none(pages.flatMap(brokenLinks));
});

tidy('a slip that is argued to be harmless is one of a line that is there', () => {
  none(
    argued
      .filter(({ file, text }) => textOf(file)?.includes(text) !== true)
      .map(({ file, text }) => `${file}: ${text}`),
  );
});

tidy('what a mutant takes out stands in the source, once, and the tests that are to catch it exist', () => {
  const isMissing = (name: string) => textOf(`test/${name}.test.ts`) === undefined;
  none(allMutants.flatMap(({ name, tests }) => tests.filter(isMissing).map((test) => `${name}: ${test}`)));
  none(allMutants.filter(({ file, find }) => textOf(file)?.split(find).length !== 2).map(({ name }) => name));
});

tidy.run();
