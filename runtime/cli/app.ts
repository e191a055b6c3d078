/**
 * The user's app: a module whose exports are searched for behaviours, whose export `limits` changes limits, and whose export
 * `authorise` decides who may do what.
 *
 * TypeScript is loaded through the tsx of the app's own project; Skerry does not depend on it.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Behaviour, isBehaviour } from '../../core/behaviour.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import type { Authorise } from '../worker/authorise.ts';
import { CliError } from './failure.ts';
import { suggestion } from './suggest.ts';

export interface App {
  /** Absolute path of its module. */
  readonly path: string;
  readonly behaviours: readonly Behaviour[];
  readonly limits: Partial<Limits>;
  /** Undefined: it exports none, and everybody may do everything. */
  readonly authorise: Authorise | undefined;
}

const typeScript = new Set(['.ts', '.mts', '.cts', '.tsx']);

/** A path as people know it: from the current folder where that is shorter. */
export function shownPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere !== '' && fromHere.length < path.length ? fromHere : path;
}

/** Import an app. Throws `not-found`, or `invalid-definition` when it cannot be loaded or exports no behaviour. */
export async function loadApp(given: string): Promise<App> {
  const path = resolve(given);
  const name = shownPath(path);
  if (!existsSync(path))
    throw new CliError('not-found', `There is no file ${name}`, {
      advice: 'name the module that exports your behaviours: skerry run app.ts',
    });
  if (statSync(path).isDirectory())
    throw new CliError('not-found', `${name} is a folder`, {
      advice: 'name the module in it that exports your behaviours',
    });
  if (typeScript.has(extname(path))) await loadTypeScript(path);
  const module = await importModule(path, name);
  const behaviours = behavioursOf(module);
  if (behaviours.length > 0)
    return { path, behaviours, limits: limitsOf(module, name), authorise: authoriseOf(module, name) };
  throw new CliError('invalid-definition', `${name} does not export a behaviour`, {
    advice: `export the result of behaviour(), or several in an array${isModule(path) ? '' : '; and set the type of the project to module: npm pkg set type=module'}`,
  });
}

/** Whether a file is a module by its name, or by the nearest package.json. */
function isModule(path: string): boolean {
  if (/\.m[jt]s$/.test(path)) return true;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { type?: unknown } | null;
      return manifest?.type === 'module';
    } catch {
      if (folder === dirname(folder)) return false;
    }
  }
}

async function importModule(path: string, name: string): Promise<object> {
  try {
    return (await import(pathToFileURL(path).href)) as object;
  } catch (error) {
    const where = error instanceof Error ? placeIn(error, path) : undefined;
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new CliError(
      'invalid-definition',
      `${name} could not be loaded: ${message}`,
      where === undefined ? { cause: error } : { advice: where, cause: error },
    );
  }
}

/** The line of the stack that is in the app's own file. */
function placeIn(error: Error, path: string): string | undefined {
  const file = pathToFileURL(path).href;
  return error.stack
    ?.split('\n')
    .slice(1)
    .map((line) => line.trim())
    .find((line) => line.includes(path) || line.includes(file))
    ?.replace(file, path);
}

/** Make this process able to import TypeScript. */
async function loadTypeScript(path: string): Promise<void> {
  // Run from its own sources this process can already; and newer Node versions strip types by themselves.
  if (import.meta.url.endsWith('.ts')) return;
  const tsx = resolveTsx([path, join(process.cwd(), 'package.json')]);
  // What `node --import tsx` imports: it registers itself.
  if (tsx !== undefined) return void (await import(pathToFileURL(tsx).href));
  if ('typescript' in process.features && process.features.typescript) return;
  throw new CliError('not-found', `${shownPath(path)} is TypeScript, and its project lacks tsx, which runs it`, {
    advice: 'install it there: npm i -D tsx; or name a .js file',
  });
}

function resolveTsx(places: readonly string[]): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve('tsx');
    } catch {
      // Not installed there: the next place.
    }
  }
  return undefined;
}

/** Exports that are behaviours, and those in exported arrays; each once. */
function behavioursOf(module: object): Behaviour[] {
  const exported = Object.values(module).flatMap((value: unknown) =>
    Array.isArray(value) ? (value as unknown[]) : [value],
  );
  return [...new Set(exported.filter(isBehaviour))];
}

/** The export `authorise`, if there is one. What is called so and decides nothing must not pass for one. */
function authoriseOf(module: object, name: string): Authorise | undefined {
  const authorise: unknown = 'authorise' in module ? module.authorise : undefined;
  if (authorise === undefined || isHook(authorise)) return authorise;
  throw new CliError('invalid-definition', `${name} exports an authorise that is not a function`);
}

function isHook(value: unknown): value is Authorise {
  return typeof value === 'function';
}

/** What is to be said at start of an app that lets everybody do everything. */
export function authorisationNote(path: string): string {
  return `${shownPath(path)} does not export authorise: every client of this cluster may call every operation`;
}

/** The export `limits`, if there is one. */
function limitsOf(module: object, name: string): Partial<Limits> {
  const limits: unknown = 'limits' in module ? module.limits : {};
  if (typeof limits !== 'object' || limits === null) return {};
  for (const [limit, value] of Object.entries(limits)) {
    if (!Object.hasOwn(defaultLimits, limit)) {
      const advice = suggestion(limit, Object.keys(defaultLimits));
      throw new CliError('invalid-definition', `${name} exports limits with '${limit}', which is not a limit`, {
        advice,
      });
    }
    if (typeof value === 'number' && value >= 0) continue;
    throw new CliError('invalid-definition', `${name} exports limits with '${limit}', whose value is not a number`);
  }
  return limits;
}
