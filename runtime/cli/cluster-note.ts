/**
 * The note that `skerry up` leaves in its data folder: where the cluster is that runs there, for other commands of the
 * same user, and for its applications. It holds logins of that NATS: nobody else may read it. When the cluster has stopped it
 * says so, and what ran: its data is not where commands could read it.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readPrivate, writePrivate } from './private-file.ts';

export interface ClusterNote {
  /** Of `skerry up`; 0: it has stopped. */
  readonly pid: number;
  /** As applications log in. */
  readonly nats: string;
  /** As commands do. */
  readonly tools: string;
  readonly cluster: string;
  /** Absolute path of the app's module. */
  readonly app: string;
  /** Servers that were started for it, by their names. */
  readonly servers: Readonly<Record<string, number>>;
  /** Its entities are in this folder, in a Redis of its own. */
  readonly hasData: boolean;
}

const noteFormat = 1;

function notePath(folder: string): string {
  return join(folder, 'cluster.json');
}

export function writeClusterNote(folder: string, note: ClusterNote): void {
  writePrivate(notePath(folder), { skerry: noteFormat, ...note });
}

export function removeClusterNote(folder: string): void {
  rmSync(notePath(folder), { force: true });
}

/** What is left of the note when the cluster stops: no logins. */
export function noteStopped(folder: string, note: ClusterNote): void {
  writeClusterNote(folder, { ...note, pid: 0, nats: '', tools: '', servers: {} });
}

/** The cluster that runs on this folder; undefined: none does. Throws for a note that is not this user's. */
export function clusterNote(folder: string): ClusterNote | undefined {
  const note = lastClusterNote(folder);
  return note !== undefined && note.pid > 0 && isAlive(note.pid) ? note : undefined;
}

/** The note, also of a cluster that was killed. */
export function lastClusterNote(folder: string): ClusterNote | undefined {
  const { skerry, pid, nats, tools, cluster, app, servers, hasData } =
    readPrivate(notePath(folder), {
      because: 'Skerry does not contact the cluster that it names',
      advice: 'name the cluster with --nats, or remove that file',
    }) ?? {};
  if (skerry !== noteFormat || typeof pid !== 'number' || typeof nats !== 'string') return undefined;
  if (typeof cluster !== 'string' || typeof app !== 'string') return undefined;
  const pids = Object.entries((servers ?? {}) as Record<string, unknown>).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  return {
    pid,
    nats,
    tools: typeof tools === 'string' ? tools : nats,
    cluster,
    app,
    servers: Object.fromEntries(pids),
    hasData: hasData === true,
  };
}

/** Whether a process of this id runs, whoever's it is. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
