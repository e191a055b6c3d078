/**
 * Waits for the end of the runner, which it hears by the end of its standard input, and ends the servers that the runner could not end.
 *
 *     guard <folder> keep|remove
 *
 * Each line that it reads names all servers with their process ids; `{}` at the end: the runner has ended them.
 */
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { endLeftOvers } from '../../runtime/cli/servers.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';

const [folder = '', fate] = process.argv.slice(2);
let servers: Record<string, number> = {};
for await (const line of createInterface({ input: process.stdin })) servers = JSON.parse(line);
if (Object.keys(servers).length > 0) {
  await endLeftOvers(folder, servers, machineEnvironment(silentLog));
  if (fate === 'remove') rmSync(folder, { recursive: true, force: true });
}
