/** `skerry list`: the addresses that are stored. */

import { keyOf, typeOf } from '../../../core/message.ts';
import type { Command, Given } from '../command.ts';
import { addressText } from '../escape.ts';
import { look, requireType } from '../reading.ts';
import { clusterNotes, clusterOptions } from '../target.ts';

export const list: Command = {
  name: 'list',
  parameters: '[type]',
  summary: 'list entities, of one type or of all',
  options: clusterOptions,
  notes: ['One address per line, in byte order. With --json: {"address","type","key"} per line.', ...clusterNotes],
  examples: ['skerry list', 'skerry list stock | head', 'skerry list order --json'],
  run: listEntities,
};

async function listEntities(given: Given): Promise<number> {
  const { args, output } = given;
  const [type] = args;
  return look(given, async (sight) => {
    let count = 0;
    for await (const address of sight.inspector.list(type)) {
      count += 1;
      if (output.isJson) output.json({ address, type: typeOf(address), key: keyOf(address) });
      else output.line(addressText(address));
      await output.room();
    }
    if (count === 0 && type !== undefined) await requireType(sight, type);
    if (count === 0) output.note(type === undefined ? 'Nothing is stored yet' : `No ${type} is stored yet`);
    else if (output.isTerminal)
      output.note(output.style('dim', count === 1 ? '1 entity' : `${count.toLocaleString('en')} entities`));
    return 0;
  });
}
