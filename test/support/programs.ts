/** Where the servers are that tests start. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian puts nats-server where only root's PATH leads. */
const furtherFolders = ['/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin'];

export function pathOf(program: string): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...furtherFolders];
  const found = folders.filter((folder) => folder !== '').find((folder) => isProgram(join(folder, program)));
  if (found === undefined) throw new Error(`${program} is not installed: 'npm run servers' does that`);
  return join(found, program);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
