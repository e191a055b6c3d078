/** How a command that hosts an app waits: a live line while it runs, and the signals that end it. */
import type { Environment } from '../environment.ts';
import type { Worker } from '../worker/worker.ts';
import type { Given } from './command.ts';
import { figuresOf } from './requests.ts';
import { span } from './time.ts';

const liveMs = 500;

/** A live line while it runs; resolves when it is to stop. */
export async function watch(
  { environment, output }: Given,
  workers: readonly Worker[],
  asked: Promise<unknown>,
): Promise<void> {
  const startedAt = environment.now();
  let last = { at: startedAt, turns: 0 };
  const show = () => {
    const { activations, turns, queued } = figuresOf(workers);
    const now = environment.now();
    const rate = Math.round(((turns - last.turns) * 1_000) / Math.max(1, now - last.at));
    last = { at: now, turns };
    output.live(
      `${activations.toLocaleString('en')} entities in memory · ${rate.toLocaleString('en')} turns/s · ${queued.toLocaleString('en')} queued · up ${span(now - startedAt)}`,
    );
    cancel = environment.after(liveMs, show);
  };
  // The timer also keeps the process alive where no socket does.
  let cancel = environment.after(0, show);
  await asked;
  cancel();
}

/** Whether a process that npm or npx started still has its parent is looked at this often, ms. */
const parentMs = 500;

/**
 * Resolves when what started this process is gone, if that was npm or npx: ended by its process id it tells nobody. Any other
 * parent may go, as a shell does after `nohup skerry run app.ts &`.
 */
function parentGone(environment: Environment): Promise<void> {
  if (process.env.npm_lifecycle_event === undefined) return new Promise(() => undefined);
  const { ppid } = process;
  return new Promise((resolve) => {
    const look = () => (process.ppid === ppid ? void environment.after(parentMs, look) : resolve());
    look();
  });
}

/** Below this a second signal is the first one again: npm and tsx pass on what the terminal sends to all, ms. */
const sameSignalMs = 1_000;

/**
 * Waits for a signal from the start, so that none that comes while the app starts is lost; the second one ends at once. Nobody
 * who reads the output any more counts as a first signal: a process that ended with its output would leave behind what it started.
 */
export class Stopping {
  readonly asked: Promise<void>;
  #ask: () => void = () => undefined;

  /** `atOnce` is done before a second signal ends the process. */
  constructor({ environment, output }: Pick<Given, 'environment' | 'output'>, atOnce: () => void = () => undefined) {
    this.asked = new Promise((resolve) => {
      this.#ask = resolve;
      let askedAt: number | undefined;
      const stop = (code: number) => () => {
        if (askedAt !== undefined && environment.now() - askedAt > sameSignalMs) {
          atOnce();
          process.exit(code);
        }
        askedAt ??= environment.now();
        resolve();
      };
      output.whenReaderGone(resolve);
      void parentGone(environment).then(resolve);
      process.on('SIGINT', stop(130)).on('SIGTERM', stop(143)).on('SIGHUP', stop(129));
    });
  }

  /** As the first signal does. */
  stop(): void {
    this.#ask();
  }
}
