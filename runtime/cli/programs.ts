/** Programs and ports of this machine, for code that starts processes: the command line, measurements, tests. */

import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { delimiter, join } from 'node:path';

/** Debian puts nats-server where only root's PATH leads. */
const furtherFolders = ['/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin'];

/** Where programs are looked for. */
export function programFolders(): string[] {
  return [...(process.env.PATH ?? '').split(delimiter), ...furtherFolders].filter((folder) => folder !== '');
}

/** Where a program is; undefined: it is not installed. */
export function pathOf(program: string, folders: readonly string[] = programFolders()): string | undefined {
  return folders.map((folder) => join(folder, program)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Options of Node for a process of ours that is to be fast. What is in flight survives the many small collections that a
 * young generation of 16 MB needs, and is copied by each of them; with 64 MB most of it is over before the next.
 * Whoever has chosen a size keeps it.
 */
export function nodeOptions(): string[] {
  const chosen = [...process.execArgv, process.env.NODE_OPTIONS ?? ''];
  return chosen.some((words) => words.includes('semi-space-size')) ? [] : ['--max-semi-space-size=64'];
}

/** A port of loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Whether one can listen on a port of loopback. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Whether somebody listens on a port of loopback. */
export async function accepts(port: number): Promise<boolean> {
  const socket = createConnection({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
