/** A process of its own whose turn spins for a while; says on standard output when it has ended. */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { command, unchecked } from '../../core/operation.ts';
import { embed } from '../../runtime/embed.ts';
import { machineEnvironment } from '../../runtime/environment.ts';

const Loop = entity('loop', { initial: () => ({}), operations: { spin: command(unchecked<number>()) } });

const turnMsMax = 400;

function spinHere(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const loop = behaviour(Loop, { spin: (_turn, ms) => spinHere(ms) });
const ms = Number(process.argv[2]);
let said: () => void = () => undefined;
const mentioned = new Promise<void>((resolve) => {
  said = resolve;
});
const error = (details: object, msg: string) => {
  console.error(JSON.stringify({ ...details, msg }));
  said();
};
const environment = machineEnvironment({ info: () => undefined, warn: error, error });
const cluster = await embed({ behaviours: [loop], store: 'memory', environment, limits: { turnMsMax } });
await cluster.entity(Loop, 'a').spin(ms);
console.log('ended');
if (ms > turnMsMax) await mentioned;
await cluster.close();
