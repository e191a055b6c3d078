/** The output of `skerry up` for its workers: a coloured prefix on each line for people, JSON lines for machines. */
import { withoutLogin } from '../open.ts';
import { authorisationNote, shownPath } from './app.ts';
import type { Given } from './command.ts';
import { shellWord, visible } from './escape.ts';
import { logText, type Output, type Style } from './output.ts';
import type { SupervisorEvent } from './supervisor.ts';

const prefixStyles: readonly Style[] = ['cyan', 'green', 'magenta', 'yellow', 'blue'];

interface TellerParts {
  readonly names: readonly string[];
  readonly app: string;
  readonly variables: Readonly<Record<string, string>>;
}

/** What the supervisor tells, for people or machines. */
export class Teller {
  readonly #given: Given;
  readonly #output: Output;
  readonly #parts: TellerParts;
  readonly #ready = new Set<string>();
  #isComplete = false;
  #isAuthorising = false;

  constructor(given: Given, parts: TellerParts) {
    this.#given = given;
    this.#output = given.output;
    this.#parts = parts;
  }

  say(text: string): void {
    if (!this.#output.isJson) this.#output.line(text);
  }

  tell(event: SupervisorEvent): void {
    const { kind, ...rest } = event;
    if (this.#output.isJson) this.#output.json(kind === 'line' ? lineValue(event) : { status: kind, ...rest });
    else for (const text of textsOf(event)) this.#line(event.worker, text);
    if (event.kind !== 'ready') return;
    this.#ready.add(event.worker);
    this.#isAuthorising = event.isAuthorising;
    if (this.#isComplete || this.#ready.size < this.#parts.names.length) return;
    this.#isComplete = true;
    this.#complete();
  }

  #line(worker: string, text: string): void {
    const { names } = this.#parts;
    const width = Math.max(...names.map((name) => name.length));
    const style = prefixStyles[names.indexOf(worker) % prefixStyles.length] ?? 'cyan';
    this.#output.line(`${this.#output.style(style, `${worker.padEnd(width)} |`)} ${text}`);
  }

  /** All are ready for the first time. */
  #complete(): void {
    const { names, app, variables } = this.#parts;
    const cluster = variables.SKERRY_CLUSTER ?? 'main';
    const [nats, store] = [variables.SKERRY_NATS ?? '', variables.SKERRY_STORE ?? ''].map(withoutLogin);
    if (this.#output.isJson)
      return this.#output.json({ status: 'running', pid: process.pid, app, cluster, nats, store, workers: names });
    const output = this.#output;
    output.line();
    output.line(
      `${output.style('bold', shownPath(app))} runs on ${names.length === 1 ? '1 worker' : `${names.length} workers`} ${output.style('dim', `· cluster ${cluster} · process ${process.pid}`)}`,
    );
    output.line(output.style('dim', `${nats} · ${store}`));
    if (!this.#isAuthorising) output.line(output.style('dim', authorisationNote(app)));
    const where = this.#given.options.data === undefined ? '' : ` --data ${shellWord(this.#given.folder)}`;
    output.line(output.style('dim', `From another terminal: skerry view${where}`));
    output.line(output.style('dim', `                       skerry call <type/key> <operation> [json]${where}`));
    output.line(output.style('dim', 'Ctrl-C drains and stops the cluster.'));
    output.line();
  }
}

function textsOf(event: SupervisorEvent): string[] {
  switch (event.kind) {
    case 'started':
      return [];
    case 'ready':
      return [`ready · process ${event.pid}`];
    case 'left':
      return ['left'];
    case 'crashed':
      return [`ended (${event.signal ?? `exit code ${event.code}`}); restarting in ${event.againMs} ms`];
    case 'line':
      return [lineText(event.text)];
  }
}

interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
}

/** A line of the runtime's log; undefined: it is the application's own. */
function logLineOf(text: string): (LogLine & Readonly<Record<string, unknown>>) | undefined {
  if (!text.startsWith('{"level":')) return undefined;
  try {
    const line = JSON.parse(text) as Partial<LogLine> & Readonly<Record<string, unknown>>;
    const isLog = typeof line.level === 'number' && typeof line.msg === 'string' && typeof line.time === 'number';
    return isLog ? (line as LogLine & Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

const errorLevel = 50;

function lineText(text: string): string {
  const line = logLineOf(text);
  if (line === undefined) return visible(text);
  const { level, time: _, msg, ...details } = line;
  return visible(`${level >= errorLevel ? 'error:' : 'warning:'} ${logText(details, msg)}`);
}

function lineValue({ worker, text }: Extract<SupervisorEvent, { kind: 'line' }>): object {
  const line = logLineOf(text);
  return line === undefined ? { status: 'line', worker, text } : { status: 'log', worker, ...line };
}
