/**
 * Looking at what is stored without running anything: into a data folder, also while an app runs on it, or through the
 * workers of a live cluster; and saying what there is instead of what was looked for and not found.
 */
import { type Address, typeOf } from '../../core/message.ts';
import { Inspector, type Reading } from '../admin/inspector.ts';
import { openLmdb } from '../open.ts';
import { withCluster } from './cluster-connection.ts';
import type { Given } from './command.ts';
import { type RememberedType, remembered, requireFolder } from './data-folder.ts';
import { addressText } from './escape.ts';
import { CliError } from './failure.ts';
import { suggestion } from './suggest.ts';
import { clusterOf } from './target.ts';

export interface Sight {
  readonly store: Reading;
  readonly inspector: Inspector;
  /** The types of the cluster, or of the app that ran here last. */
  readonly remembered: readonly RememberedType[];
}

/** Wherever the command is to look. Throws `not-found` without a folder, `transport-failed` without a cluster. */
export async function look<Result>(given: Given, body: (sight: Sight) => Promise<Result>): Promise<Result> {
  const place = clusterOf(given);
  if (place === undefined) return lookInto(given.folder, body);
  return withCluster(given, place, async (cluster) =>
    body({ store: cluster.store, inspector: cluster.inspector, remembered: await cluster.types() }),
  );
}

/** Open for reading only, look, close. Throws `not-found` without a folder. */
export async function lookInto<Result>(folder: string, body: (sight: Sight) => Promise<Result>): Promise<Result> {
  requireFolder(folder);
  const store = await openLmdb(folder, { readOnly: true });
  try {
    return await body({ store, inspector: new Inspector(store), remembered: rememberedTypes(folder) });
  } finally {
    await store.close();
  }
}

/** The note only helps here: one that cannot be read is no reason not to show the data. */
function rememberedTypes(folder: string): readonly RememberedType[] {
  try {
    return remembered(folder)?.types ?? [];
  } catch {
    return [];
  }
}

/** Types of which something is stored, found by a step from each to the next. */
async function storedTypes(store: Reading): Promise<string[]> {
  const types: string[] = [];
  for (let after: Address | undefined; ; ) {
    const [address] = await store.list(undefined, after === undefined ? { limit: 1 } : { after, limit: 1 });
    if (address === undefined) return types;
    const type = typeOf(address);
    types.push(type);
    // '0' comes right behind '/': what follows all addresses of the type.
    after = `${type}0`;
  }
}

/** Throws `unknown-type`, with what there is, unless the type is one of the app's or of the folder's. */
export async function requireType({ store, remembered }: Sight, type: string): Promise<void> {
  const known = [...new Set([...remembered.map((one) => one.type), ...(await storedTypes(store))])];
  if (known.includes(type)) return;
  const advice = known.length === 0 ? 'nothing is stored here yet' : suggestion(type, known);
  throw new CliError('unknown-type', `There is no entity type '${type}' here`, { advice });
}

/** The error for an entity that was never committed, or the one for its type. */
export async function missing(sight: Sight, address: Address): Promise<CliError> {
  await requireType(sight, typeOf(address));
  return new CliError('not-found', `${addressText(address)} is not stored: none of its turns has been committed`, {
    advice: `skerry list ${typeOf(address)} lists the stored keys`,
  });
}

/** What comes one by one, several at a time. */
export async function* lotsOf<Item>(items: AsyncIterable<Item> | Iterable<Item>, count: number): AsyncIterable<Item[]> {
  let lot: Item[] = [];
  for await (const item of items) {
    lot.push(item);
    if (lot.length < count) continue;
    yield lot;
    lot = [];
  }
  if (lot.length > 0) yield lot;
}
