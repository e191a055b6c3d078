/** The machine's environment with a recorded log, and waits for what real servers do in their own time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Environment, machineEnvironment } from '../../runtime/environment.ts';
import { afterPatience } from './patience.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly details: object;
}

export class Noted {
  readonly lines: Line[] = [];
  readonly environment: Environment;
  /** The delay of each timer that was set, ms. */
  readonly waits: number[] = [];

  /** `speed` 10: each timer waits for a tenth of its delay. */
  constructor(speed = 1) {
    const at = (level: string) => (details: object, message: string) =>
      void this.lines.push({ level, message, details });
    const machine = machineEnvironment({ info: at('info'), warn: at('warn'), error: at('error') });
    this.environment = {
      ...machine,
      after: (ms, run) => {
        this.waits.push(ms);
        return machine.after(ms / speed, run);
      },
    };
  }

  /** The whole log as one text. */
  get text(): string {
    return this.lines.map(({ level, message, details }) => `${level} ${message} ${JSON.stringify(details)}`).join('\n');
  }

  count(pattern: RegExp): number {
    return this.lines.filter(({ message }) => pattern.test(message)).length;
  }
}

/** Polls until `is` returns true; `what` names it in the error if it never does. */
export async function comesTrue(what: string, isSo: () => boolean, limitMs = 15_000): Promise<void> {
  let isLate = false;
  const cancel = afterPatience(limitMs, () => {
    isLate = true;
  });
  try {
    while (!isSo()) {
      if (isLate) throw new Error(`never came true: ${what}`);
      await sleep(5);
    }
  } finally {
    cancel();
  }
}
