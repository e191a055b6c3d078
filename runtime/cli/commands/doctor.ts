/** `skerry doctor`: whether an app can run on a data folder, and whether what is in it is well. */

import type { Command, Given } from '../command.ts';
import { clusterFindings } from '../doctor-cluster.ts';
import { folderFindings } from '../doctor-folder.ts';
import { visible } from '../escape.ts';
import type { Finding } from '../finding.ts';
import type { Output, Style } from '../output.ts';
import { clusterNotes, clusterOf, clusterOptions } from '../target.ts';
import { wrapped } from '../width.ts';

export const doctor: Command = {
  name: 'doctor',
  parameters: '',
  summary: 'check the machine, the data folder or live cluster, and its contents',
  options: clusterOptions,
  notes: [
    'Checks the Node version, the folder, the disk, processes that have the folder open, the format, entities by type, states that are newer than the app, dead letters, agreements that are broken or overdue, overdue timers and full outboxes. Reads every entity. If no process has the folder open, doctor opens it for writing for a moment.',
    'For a live cluster: NATS, workers, clocks, views, the placement service, the owners of partitions, and the stored data.',
    'Exit code 1 when something is wrong. With --json: {"ok","findings":[{"check","verdict","text","figures"}]}.',
    ...clusterNotes,
  ],
  examples: ['skerry doctor', 'skerry doctor --json | jq .ok'],
  run: diagnose,
};

const marks: Readonly<Record<Finding['verdict'], readonly [mark: string, style: Style]>> = {
  ok: ['ok   ', 'green'],
  note: ['note ', 'yellow'],
  wrong: ['WRONG', 'red'],
};

async function diagnose(given: Given): Promise<number> {
  const { output } = given;
  const found: Finding[] = [];
  const place = clusterOf(given);
  for await (const finding of place === undefined ? folderFindings(given) : clusterFindings(given, place)) {
    found.push(finding);
    if (!output.isJson) show(output, finding);
  }
  const count = found.filter(({ verdict }) => verdict === 'wrong').length;
  if (output.isJson) output.json({ ok: count === 0, findings: found });
  else {
    output.line();
    output.line(count === 0 ? 'No problems found.' : `${count === 1 ? 'One check is' : `${count} checks are`} wrong.`);
  }
  return count === 0 ? 0 : 1;
}

const nameWidth = 12;

function show(output: Output, { check, verdict, text }: Finding): void {
  const [mark, style] = marks[verdict];
  const indent = ' '.repeat(mark.length + nameWidth + 4);
  const lines = wrapped(visible(text), output.width - indent.length);
  output.line(`${output.style(style, mark)}  ${check.padEnd(nameWidth)}  ${lines.join(`\n${indent}`)}`);
}
