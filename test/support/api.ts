/**
 * docs/api.md: every exported name, with its declaration and docstring.
 *
 *     npm run api      rewrites the page; `api.test.ts` compares it
 *
 * Owns the order and the titles of the page. Everything else comes from the compiler's declarations.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { sections } from './api-sections.ts';
import { root } from './tree.ts';

interface Declared {
  readonly name: string;
  readonly file: string;
  readonly doc: string;
  readonly code: string;
}

/** The entries of the package: path in package.json, and file. */
const entries: readonly (readonly [path: string, file: string])[] = [
  ['skerry', 'core/index.d.ts'],
  ['skerry/client', 'runtime/client-index.d.ts'],
  ['skerry/runtime', 'runtime/index.d.ts'],
  ['skerry/testing', 'runtime/testing/index.d.ts'],
];

const bin = (name: string) => join(root, 'node_modules', '.bin', name);

/** The page as it should be. Throws if an exported name is in no section, or a section lists a name that is not exported. */
export function apiPage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-api-'));
  try {
    execFileSync(bin('tsc'), ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', folder], { cwd: root });
    return new Page(folder).text();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

class Page {
  readonly #folder: string;
  readonly #files = new Map<string, readonly Declared[]>();
  /** Declarations by exported name. */
  readonly #exported = new Map<string, { readonly from: string; readonly declared: Declared }>();
  readonly #shown = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
    for (const [path, file] of entries)
      for (const { name, local, source } of exportsOf(this.#read(file))) {
        const declared =
          this.#find(local, join(dirname(file), source)) ?? this.#imported(local, join(dirname(file), source));
        if (declared === undefined) throw new Error(`${name} of ${path} is declared nowhere`);
        const from = this.#exported.get(name)?.from;
        this.#exported.set(name, { from: from === undefined ? `\`${path}\`` : `${from} and \`${path}\``, declared });
        this.#shown.add(keyOf(declared));
      }
  }

  #read(file: string): string {
    return readFileSync(join(this.#folder, file), 'utf8');
  }

  #declarationsOf(file: string): readonly Declared[] {
    let all = this.#files.get(file);
    if (all === undefined) {
      all = existsSync(join(this.#folder, file)) ? declarationsIn(this.#read(file), file) : [];
      this.#files.set(file, all);
    }
    return all;
  }

  #find(name: string, file: string): Declared | undefined {
    return this.#declarationsOf(file).find((one) => one.name === name);
  }

  #imported(name: string, file: string): Declared | undefined {
    const other = importedFrom(this.#read(file), name);
    return other === undefined ? undefined : this.#find(name, join(dirname(file), other));
  }

  text(): string {
    const named = sections.flatMap(({ names }) => names);
    const unplaced = [...this.#exported.keys()].filter((name) => !named.includes(name));
    const unknown = named.filter((name, index) => !this.#exported.has(name) || named.indexOf(name) !== index);
    if (unplaced.length + unknown.length > 0)
      throw new Error(
        `without a place: ${unplaced.join(', ') || 'none'}; not exported, or twice: ${unknown.join(', ') || 'none'}`,
      );
    const body = sections.map(({ title, intro, names }) =>
      [`## ${title}`, intro, ...names.map((name) => this.#entry(name))].join('\n\n'),
    );
    return `${formatted([opening, ...body].join('\n\n'))}\n`;
  }

  #entry(name: string): string {
    const { from, declared } = this.#exported.get(name) as { from: string; declared: Declared };
    const code = [declared, ...this.#needed(declared)].map((one) => this.#codeOf(one));
    const doc = declared.doc === '' ? [] : [proseOf(declared.doc)];
    return [`### \`${name}\``, ...doc, `From ${from}.`, `\`\`\`ts\n${code.join('\n\n')}\n\`\`\``].join('\n\n');
  }

  /** A declaration in which each type has its exported name. */
  #codeOf({ code, file, name }: Declared): string {
    const source = this.#read(file);
    const lines = code.split('\n').filter((line) => line.trim() !== '#private;');
    return lines.join('\n').replace(/(?<![.'`])\b[A-Z]\w+\b(?!['`])/g, (word) => {
      const key = keyOf({ name: word, file: word === name ? file : this.#fileOf(word, file, source) });
      const found = [...this.#exported].find(([, { declared }]) => keyOf(declared) === key);
      return found?.[0] ?? word;
    });
  }

  #fileOf(word: string, file: string, source: string): string {
    const other = importedFrom(source, word);
    return other === undefined ? file : join(dirname(file), other);
  }

  /** Types that declarations use but the package does not export: shown where they are first needed. */
  #needed(declared: Declared): Declared[] {
    const found: Declared[] = [];
    const source = this.#read(declared.file);
    for (const [word] of declared.code.matchAll(/\b[A-Z]\w+\b/g)) {
      const other = this.#find(word, this.#fileOf(word, declared.file, source));
      if (other === undefined || this.#shown.has(keyOf(other)) || !/^(?:type|interface|class) /m.test(other.code))
        continue;
      this.#shown.add(keyOf(other));
      found.push(other, ...this.#needed(other));
    }
    return found;
  }
}

const opening = `# API

This page lists every exported name with its declaration. [The guide](../README.md) explains their use, [errors](errors.md) lists the error codes, and
[guarantees](guarantees.md) states the promises. Durations are in milliseconds and end in \`Ms\`; dates are milliseconds since 1970.

The page is generated from the source by \`npm run api\`.`;

function keyOf({ name, file }: Pick<Declared, 'name' | 'file'>): string {
  return `${file} ${name}`;
}

/** The statements at the top level of a file of declarations, with the comment before each. */
function declarationsIn(text: string, file: string): Declared[] {
  const found: Declared[] = [];
  // The head of a file is followed by its imports and belongs to no declaration.
  const statements =
    /(?:^(?<doc>\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n)?^(?<statement>(?:export|declare|type|interface)\b[\s\S]*?(?=^\S(?<!\})|$(?![\s\S])))/gm;
  for (const { groups } of text.matchAll(statements)) {
    const { doc = '', statement = '' } = groups ?? {};
    const code = statement
      .trim()
      .replace(/^export /, '')
      .replace(/^declare /, '');
    const name = /^(?:abstract )?(?:function|const|class|interface|type) (\w+)/.exec(code)?.[1];
    const before = found.at(-1);
    // Overloads are one function.
    if (before !== undefined && before.name === name)
      found[found.length - 1] = { ...before, code: `${before.code}\n${code}` };
    else if (name !== undefined) found.push({ name, file, doc, code });
  }
  return found;
}

function exportsOf(text: string): { name: string; local: string; source: string }[] {
  return [...text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)';/gm)].flatMap(([, names = '', source = '']) =>
    names
      .split(',')
      .filter((one) => one.trim() !== '')
      .map((one) => {
        const [local = '', name = local] = one
          .replace(/^\s*type /, '')
          .trim()
          .split(' as ');
        return { name, local, source: source.replace(/\.ts$/, '.d.ts') };
      }),
  );
}

function importedFrom(text: string, name: string): string | undefined {
  for (const [, names = '', source = ''] of text.matchAll(/^import (?:type )?\{([^}]*)\} from '(\.[^']+)';/gm))
    if (names.split(',').some((one) => one.replace(/^\s*type /, '').trim() === name))
      return source.replace(/\.ts$/, '.d.ts');
  return undefined;
}

/** A comment as Markdown: indented lines are code. */
function proseOf(doc: string): string {
  const lines = doc
    .replace(/^\/\*\*|\*\/$/g, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd());
  return lines
    .join('\n')
    .trim()
    .replace(/^@param (\w+) /gm, '- `$1`: ')
    .replace(/(?<!\n)\n(- `)/, '\n\n$1');
}

/** The page with its code formatted like the sources, in one call. */
function formatted(page: string): string {
  const block = /^```ts\n([\s\S]*?)^```$/gm;
  const rule = '// ----';
  const input = [...page.matchAll(block)].map(([, code]) => code).join(`${rule}\n`);
  // Only a declaration file may contain a function without a body.
  const command = ['format', '--stdin-file-path=api.d.ts'];
  const blocks = execFileSync(bin('biome'), command, { cwd: root, input, encoding: 'utf8' }).split(rule);
  return page.replace(block, () => `\`\`\`ts\n${blocks.shift()?.trim()}\n\`\`\``);
}
