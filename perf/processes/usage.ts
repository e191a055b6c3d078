/** The resources that processes have used: this one, and others of this machine by their pid where the system tells. */
import { readFileSync } from 'node:fs';
import type { Usage } from '../plan.ts';

/** Of Linux, by its documentation always 100. */
const ticksPerS = 100;
const pageBytes = 4_096;

export function ownUsage(name: string, counts: object): Usage {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    name,
    pid: process.pid,
    cpuMs: (user + system) / 1_000,
    rssBytes: rss,
    heapBytes: heapUsed,
    writtenBytes: writtenBytesOf(process.pid),
    counts: { ...(counts as Record<string, number>) },
  };
}

/** Undefined where there is no /proc, or no such process. */
export function usageOf(name: string, pid: number): Usage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in the second field may hold anything; what follows it is separated by blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const cpuMs = (ticks * 1_000) / ticksPerS;
    const rssBytes = Number(fields[21]) * pageBytes;
    return { name, pid, cpuMs, rssBytes, heapBytes: 0, writtenBytes: writtenBytesOf(pid), counts: {} };
  } catch {
    return undefined;
  }
}

/** Bytes that it caused to be sent to a disk. */
function writtenBytesOf(pid: number): number {
  try {
    return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
