/** Time as the machine gave it: what waits for a processor is not late, and what hangs or runs on is. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { afterPatience, Patience, patientMs } from '../support/patience.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('patience');

type Threads = Readonly<Record<string, readonly [ran: number, waited: number]>>;
const look = (at: number, threads: Threads) => ({ at, threads: new Map(Object.entries(threads)) });

test('PA1: what runs alone, or waits for something else, is counted by the clock', () => {
  assert.is(patientMs(look(100, {}), look(600, {})), 500);
  assert.is(patientMs(look(100, { a: [50, 7] }), look(600, { a: [50, 7] })), 500);
  assert.is(patientMs(look(100, { a: [50, 7] }), look(600, { a: [550, 7] })), 500);
});

test('PA1: what it waits for a processor is not counted, of one thread or one after the other', () => {
  assert.is(patientMs(look(0, { a: [0, 100] }), look(1_000, { a: [100, 900] })), 200);
  assert.is(patientMs(look(0, {}), look(1_000, { a: [100, 300], b: [10, 300] })), 400);
});

test('PA1: many that wait at once do not stop it: it goes on by their share', () => {
  const threads = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`t${index}`, [50, 950] as const]));
  assert.is(patientMs(look(0, {}), look(1_000, threads)), 50);
});

test('PA1: it never goes back, nor on by more than the clock, whatever the kernel tells', () => {
  const times = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.tuple(fc.nat(5_000), fc.nat(5_000)));
  const property = fc.property(times, times, fc.nat(2_000), (before, after, ms) => {
    const passed = patientMs(look(7, before), look(7 + ms, after));
    assert.ok(passed >= 0 && passed <= ms, `${passed} of ${ms}`);
  });
  fc.assert(property, { seed: 3, numRuns: 2_000 });
});

test('PA2: a limit ends what waits for nothing, and what runs on for ever, in a child too', async () => {
  const idle = await new Promise((resolve) => afterPatience(60, () => resolve('late')));
  assert.is(idle, 'late');
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  try {
    await new Promise<void>((resolve) => afterPatience(300, resolve, child.pid));
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
});

test('PA1: on a processor that others have, patient time is slower than the clock', async () => {
  if (process.platform !== 'linux') return;
  const others = Array.from({ length: 8 }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
  try {
    await Promise.all(others.map((child) => once(child, 'spawn')));
    // Of this whole process tree, whose children stand in line.
    const patience = new Patience();
    const startedAt = performance.now();
    while (performance.now() - startedAt < 1_500) await new Promise((resolve) => setTimeout(resolve, 20));
    const share = patience.passedMs() / (performance.now() - startedAt);
    assert.ok(share < 0.95, `${share}`);
  } finally {
    for (const child of others) child.kill('SIGKILL');
  }
});

test('a limit that was cancelled never comes', async () => {
  const cancel = afterPatience(20, () => assert.unreachable());
  cancel();
  await new Promise((resolve) => setTimeout(resolve, 100));
});

test.run();
