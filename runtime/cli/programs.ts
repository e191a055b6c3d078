/** Servers' programs and ports of this machine, for whoever starts one: the command line, measurements, tests. */
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
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
