/**
 * A process whose turn spins until a file exists (no file given: not at all). It prints when the turn has ended, and
 * closes when the log has reported the same.
 */
import { existsSync } from 'node:fs';
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, unchecked } from '../../core/operation.ts';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';

const [file = '', limit = ''] = process.argv.slice(2);
const Loop = entity('loop', { initial: () => ({}), operations: { spin: command(unchecked<string>()) } });

function spinHere(until: string): void {
  while (until !== '' && !existsSync(until));
}

const loop = behaviour(Loop, { spin: (_turn, until) => spinHere(until) });
let said: () => void = () => undefined;
const mentioned = new Promise<void>((resolve) => {
  said = resolve;
});
const error = (details: object, msg: string) => {
  console.error(JSON.stringify({ ...details, msg }));
  said();
};
const environment = machineEnvironment({ info: () => undefined, warn: error, error });
const cluster = await embed({
  behaviours: [loop],
  store: 'memory',
  environment,
  limits: { turnMsMax: Number(limit), deadlineMs: 300_000 },
});
await cluster.entity(Loop, 'a').spin(file);
console.log('ended');
if (file !== '' && limit !== '0') await mentioned;
await cluster.close();
