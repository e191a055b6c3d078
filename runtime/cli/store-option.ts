/** The store that a worker's command line names: Redis by its URL, or a folder of this machine that its workers share. */
import { readFileSync } from 'node:fs';
import { errorText, isSkerryError } from '../../core/errors.ts';
import { partitionsMax } from '../../placement/placement.ts';
import type { Environment } from '../environment.ts';
import { openStore } from '../open.ts';
import type { Store } from '../store.ts';
import type { Given, Option } from './command.ts';
import { CliError } from './failure.ts';
import { setting } from './target.ts';

export const storeOptions: readonly Option[] = [
  {
    flag: '--store <where>',
    description: 'redis://…, redis-cluster://… or a shared folder ($SKERRY_STORE)',
  },
  { flag: '--store-ca <file>', description: 'TLS to Redis, with this CA file' },
  {
    flag: '--partitions <n>',
    description: 'number of partitions of a new store (default: 256); fixed for its life',
  },
];

/** The number that `--partitions` gives; undefined: what the store has, or for a new one its default. */
export function partitionsOf(given: Given): number | undefined {
  const text = setting(given, 'partitions');
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= partitionsMax) return count;
  throw new CliError('usage', `--partitions takes a number from 1 to ${partitionsMax}, not '${text}'`);
}

/** Open the store of a worker: shared, since the others of its cluster open it too. */
export async function openClusterStore(
  given: Given,
  { owner, environment }: { owner: string; environment: Environment },
): Promise<Store> {
  const text = setting(given, 'store');
  if (text === undefined)
    throw new CliError('usage', 'No store given', {
      advice:
        'name it with --store or SKERRY_STORE: redis://host:6379, or a folder that all workers of one machine share',
    });
  const partitions = partitionsOf(given);
  const tls = tlsOf(given);
  try {
    return (await openStore(text, { shared: true, owner, environment, partitions, tls })).what;
  } catch (error) {
    throw advised(error);
  }
}

function tlsOf(given: Given): { ca: string } | undefined {
  const file = setting(given, 'storeCa');
  if (file === undefined) return undefined;
  try {
    return { ca: readFileSync(file, 'utf8') };
  } catch (error) {
    throw new CliError('not-found', `The CA file of the store cannot be read: ${errorText(error)}`);
  }
}

function advised(error: unknown): unknown {
  if (isSkerryError(error, 'store-in-use'))
    return new CliError('store-in-use', error.message.replace(/: .*/, ''), {
      cause: error,
      advice:
        'the workers of one cluster share a folder with each other, not with skerry run or an app that embeds it: stop that one',
    });
  if (isSkerryError(error, 'invalid-definition')) return new CliError('usage', error.message, { cause: error });
  return error;
}
