/** Resources used by processes: this one, and others of this machine by pid where /proc exists. */
import { readFileSync } from 'node:fs';
import type { Usage } from '../plan.ts';

/** Clock ticks per second in /proc; always 100 on Linux. */
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

/** Undefined if there is no /proc or no such process. */
export function usageOf(name: string, pid: number): Usage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is a name that may contain anything; the fields after it are separated by blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const cpuMs = (ticks * 1_000) / ticksPerS;
    const rssBytes = Number(fields[21]) * pageBytes;
    return { name, pid, cpuMs, rssBytes, heapBytes: 0, writtenBytes: writtenBytesOf(pid), counts: {} };
  } catch {
    return undefined;
  }
}

/** Bytes that the process caused to be written to storage. */
function writtenBytesOf(pid: number): number {
  try {
    return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
