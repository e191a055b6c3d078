/** What the processes of this folder are connected to: by URLs on their command lines. */
import { type Environment, machineEnvironment } from '../../runtime/environment.ts';
import { standardLog } from '../../runtime/log.ts';
import type { Store } from '../../runtime/store.ts';
import { openLmdb } from '../../runtime/stores/lmdb.ts';

export function environmentOf(): Environment {
  return machineEnvironment(standardLog('info'));
}

export function openStore(url: string, owner: string): Promise<Store> {
  return openLmdb(url, { shared: true, owner });
}
