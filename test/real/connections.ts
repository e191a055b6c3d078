/** What the processes of this folder need of the machine. */
import { type Environment, machineEnvironment } from '../../runtime/environment.ts';
import { standardLog } from '../../runtime/log.ts';
import type { Store } from '../../runtime/store.ts';
import { openRedis } from '../../runtime/stores/redis/store.ts';

/** The log of these processes: what workers and clients say at `info` explains a scenario that fails. */
export const log = standardLog('info');

export function environmentOf(): Environment {
  return machineEnvironment(log);
}

export function openStore(url: string): Promise<Store> {
  return openRedis({ url, log });
}
