/** The store that a command line names: a server by its URL, or a folder of this machine. */
import { isSkerryError } from '../../core/errors.ts';
import type { Environment } from '../environment.ts';
import { isRedis, redisOf } from '../places.ts';
import type { Store } from '../store.ts';
import { openLmdb } from '../stores/lmdb.ts';
import { openRedis } from '../stores/redis.ts';
import type { Given } from './command.ts';
import { CliError } from './failure.ts';
import { setting, withoutLogin } from './place.ts';

const partitionCountMax = 65_536;

/** The number that `--partitions` gives; undefined: what the store has, or for a new one its default. */
export function partitionsOf(given: Given): number | undefined {
  const text = setting(given, 'partitions');
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= partitionCountMax) return count;
  throw new CliError('usage', `--partitions takes a number from 1 to ${partitionCountMax}, not '${text}'`);
}

/** Open the store of a worker: shared, since the others of its cluster open it too. */
export async function openClusterStore(
  given: Given,
  { owner, environment }: { owner: string; environment: Environment },
): Promise<Store> {
  const text = setting(given, 'store');
  if (text === undefined)
    throw new CliError('usage', 'Where are the entities kept? No store is named', {
      advice:
        'name it with --store or SKERRY_STORE: redis://host:6379, or a folder that all workers of one machine share',
    });
  const partitions = partitionsOf(given);
  const sizes = partitions === undefined ? {} : { partitions };
  try {
    if (isRedis(text)) return await openRedis({ ...redisOf(text), ...sizes, log: environment.log });
    if (/^[a-z][a-z-]*:\/\//i.test(text)) throw noStore(text);
    return await openLmdb(text, { ...sizes, shared: true, owner });
  } catch (error) {
    if (!isSkerryError(error, 'store-in-use')) throw error;
    throw new CliError('store-in-use', error.message.replace(/: .*/, ''), {
      cause: error,
      advice:
        'the workers of one cluster share a folder with each other, not with skerry run or an app that embeds it: stop that one',
    });
  }
}

function noStore(text: string): CliError {
  return new CliError('usage', `'${withoutLogin(text)}' is no store`, {
    advice: 'name a server, as redis://host:6379, or a folder',
  });
}
