/** `skerry compact`: a copy of a data folder without the room that was freed in it, to be put in its place. */
import { join } from 'node:path';
import { compactLmdb } from '../../stores/lmdb/store.ts';
import { shownPath } from '../app.ts';
import type { Command, Given } from '../command.ts';
import { hasData, requireFolder } from '../data-folder.ts';
import { bytesText } from '../doctor-folder.ts';
import { CliError } from '../failure.ts';

export const compact: Command = {
  name: 'compact',
  parameters: '<new folder>',
  summary: 'copy a data folder without unused space',
  options: [],
  notes: [
    'No process may have the folder open. The folder stays as it is. The copy is one file, data.mdb; move it into the folder before any process opens the folder again.',
    'With --json: {"status":"compacted","from","to","before","after"}, sizes in bytes.',
  ],
  examples: ['skerry compact small && mv small/data.mdb .skerry/data.mdb'],
  run: compactFolder,
};

async function compactFolder({ args, folder, output }: Given): Promise<number> {
  requireFolder(folder);
  const to = args[0] ?? '';
  if (hasData(to)) throw new CliError('usage', `${to} already holds data`, { advice: 'name a new folder' });
  const { before, after } = await compactLmdb(folder, to);
  const [from, copy] = [join(folder, 'data.mdb'), join(to, 'data.mdb')];
  if (output.isJson) output.json({ status: 'compacted', from, to: copy, before, after });
  else {
    output.line(`${bytesText(before)} before, ${bytesText(after)} after: ${shownPath(copy)}`);
    output.line(`While no process has the folder open, move it to ${shownPath(from)}`);
  }
  return 0;
}
