/**
 * npm run fuzz -- [--frames N] [--seed S]     N hostile inputs against every decoder; exit code 1 if any broke something
 *
 * Ends with how decoding grows with the size of what is decoded, in time and in memory.
 */

import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { decode } from '../../runtime/wire/codec.ts';
import { campaign, growing, leastMs } from './campaign.ts';

const { values } = parseArgs({
  options: { frames: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
});

function numberOf(name: 'frames' | 'seed'): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} must be a whole number, not '${values[name]}'`);
  process.exit(2);
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes of heap for each byte of what was decoded, while it is held. */
function memoryOf(bytes: Uint8Array): number {
  collect();
  const before = process.memoryUsage();
  const held = [decode(bytes)];
  collect();
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  return held.length === 0 ? 0 : grown / bytes.length;
}

const startedAt = performance.now();
const { tallies, broken, heapMax } = campaign({ count: numberOf('frames'), seed: numberOf('seed') });
console.log('decoder              accepted   refused   slowest, µs for each KB');
for (const [name, { accepted, refused, slowest }] of tallies)
  console.log(
    `${name.padEnd(20)} ${String(accepted).padStart(8)} ${String(refused).padStart(9)} ${slowest.toFixed(0).padStart(8)}`,
  );
console.log(`heap at most ${(heapMax / 1e6).toFixed(0)} MB; ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
console.log('\nvalues of 900,000 bytes   ms   times that of a half   bytes of heap for each byte');
for (const [name, make] of Object.entries(growing)) {
  const [half, whole] = [leastMs(decode, make(450_000)), leastMs(decode, make(900_000))];
  const memory = memoryOf(make(900_000)).toFixed(1);
  console.log(
    `${name.padEnd(20)} ${whole.toFixed(1).padStart(8)} ${(whole / half).toFixed(1).padStart(10)} ${memory.padStart(20)}`,
  );
}
for (const { target, bytes, what } of broken) console.log(`\nBROKEN ${target}: ${what}\n  ${bytes.slice(0, 400)}`);
console.log(`\n${broken.length === 0 ? 'nothing' : broken.length} broken, seed ${values.seed}`);
process.exitCode = broken.length === 0 ? 0 : 1;
