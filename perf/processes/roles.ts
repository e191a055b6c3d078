/** The roles of a measurement's processes. */
import { floorOf } from '../floors/all.ts';
import { Generator } from '../load/generator.ts';
import type { Site } from '../plan.ts';
import type { Duties } from './process-rpc.ts';
import { WorkerProcess } from './worker-process.ts';

export function newDuties(kind: string, name: string): Duties {
  if (kind === 'generator') return new Generator(name).duties;
  if (kind === 'worker') return new WorkerProcess(name).duties;
  if (kind === 'responder') return responderDuties(name);
  throw new Error(`no process of a measurement is a '${kind}'`);
}

function responderDuties(floor: string): Duties {
  let end: (() => Promise<void>) | undefined;
  return {
    open: async (site: Site) => {
      end = await floorOf(floor).respond?.(site);
    },
    close: () => end?.(),
  };
}
