/**
 * Checks of a Redis server when a store is opened: whether its data belongs to this store, whether the user has the permissions
 * that the store needs, and how durable the server is.
 *
 * Owns the messages. A server that does not allow the questions is not rejected; its durability is then unknown.
 */
import { isSkerryError, SkerryError } from '../../../core/errors.ts';
import { newMachineId } from '../../environment.ts';
import type { Log } from '../../log.ts';
import { formatKey, formatNote, partitionsOf } from './layout.ts';
import type { RedisLink, Reply } from './link.ts';
import { probeScript } from './scripts.ts';

/** Checks or creates the format note. Returns the number of partitions. Throws `store-format`. */
export async function enter(link: RedisLink, prefix: string, wanted: number | undefined): Promise<number> {
  const key = formatKey(prefix);
  await link.write(key, ['SET', key, formatNote(wanted ?? 256), 'NX']);
  const note = await link.read(key, ['GET', key]);
  return partitionsOf(`${link.where} (prefix ${prefix})`, String(note), wanted);
}

/** The store's id, made by the first process that opens it. */
export async function identityOf(link: RedisLink, key: string): Promise<string> {
  await link.write(key, ['SET', key, newMachineId(), 'NX']);
  return String(await link.read(key, ['GET', key]));
}

/** Throws `store-failed` with the commands that this user may not use. */
export async function checkRights(link: RedisLink, key: string): Promise<void> {
  const missing = await link.run(probeScript, [key], []);
  if (!Array.isArray(missing) || missing.length === 0) return;
  const reasons = missing.map(String).join('; ');
  throw new SkerryError('store-failed', `The Redis user of the store at ${link.where} lacks permissions: ${reasons}`);
}

/** Logs a warning if the server is configured so that it can lose commits. */
export async function sayWhatIsKept(link: RedisLink, log: Log): Promise<void> {
  const settings = await link
    .readAll(['CONFIG', 'GET', '*'])
    .then((replies) => replies.map(pairsOf))
    .catch((error: unknown) => {
      if (!isSkerryError(error)) throw error;
      log.info({ store: link.where, reason: error.message }, 'Redis does not report whether it persists data');
      return [];
    });
  for (const setting of settings) {
    const appends = setting.get('appendonly') === 'yes';
    if (!appends && (setting.get('save') ?? '') === '')
      log.error(
        { store: link.where },
        'this Redis has no persistence (appendonly no, save ""): when it stops, all stored entities are lost (P8)',
      );
    else if (!appends)
      log.warn(
        { store: link.where, save: setting.get('save') },
        'this Redis writes only snapshots (appendonly no): when it stops, the commits since the last snapshot are lost (P8)',
      );
    const policy = setting.get('maxmemory-policy') ?? 'noeviction';
    if (policy !== 'noeviction')
      log.error(
        { store: link.where, policy },
        `this Redis evicts data when its memory is full (maxmemory-policy ${policy}): set it to noeviction (P8)`,
      );
  }
}

function pairsOf(reply: Reply): Map<string, string> {
  const flat = Array.isArray(reply) ? reply.map(String) : [];
  return new Map(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ''] as const] : [])));
}
