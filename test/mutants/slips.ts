/**
 * `npm run mutants -- --generate <file> [--seeds N]`: tries every slip of one source file. First the unit tests that touch it, in one
 * process for each slip; what those do not notice, a few seeds of the simulator. Lists what survives and is not argued.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argued } from './argued.ts';
import { type Slip, slipsOf } from './generate.ts';
import { codeOf, makeCopy, simulation, sourceOf } from './tree.ts';

/** Quick test files that touch a source file, the likeliest to notice first. */
const touching: Readonly<Record<string, readonly string[]>> = {
  'core/activity.ts': [
    'core/activity',
    'entity/stream-closing',
    'entity/retention',
    'entity/delivery-late',
    'entity/delivery',
    'entity/idle',
    'worker/loss',
  ],
  'runtime/entity/retention.ts': [
    'entity/retention',
    'entity/idle',
    'entity/stream-closing',
    'worker/activations',
    'entity/delivery',
  ],
  'runtime/entity/stream-closing.ts': [
    'entity/stream-closing',
    'entity/retention',
    'entity/delivery',
    'worker/activations',
  ],
  'runtime/entity/delivery.ts': [
    'entity/delivery-edges',
    'entity/delivery-told',
    'entity/delivery-late',
    'entity/delivery',
    'entity/stream-closing',
    'worker/loss',
    'runtime/clocks',
  ],
};

const parallelMax = 2;
const testLimitMs = 45_000;
const seedLimitMs = 300_000;

type Fate = 'caught by tests' | 'caught by the simulator' | 'does not end' | 'no program' | 'argued' | 'survived';

function isArgued(file: string, { text, what }: Slip): boolean {
  return argued.some((one) => one.file === file && one.text === text && (one.what?.includes(what) ?? true));
}

const testsOf = (file: string) => (touching[file] ?? []).map((name) => `test/${name}.test.ts`);

/** Whether its tests pass without any slip: else each would count as caught. */
async function isSound(file: string): Promise<boolean> {
  const folder = makeCopy();
  const code = await codeOf(folder, ['test/mutants/several.ts', file, ...testsOf(file)], testLimitMs);
  rmSync(folder, { recursive: true });
  return code === 0;
}

async function fateOf(file: string, slip: Slip, folder: string, seeds: number): Promise<Fate> {
  writeFileSync(join(folder, file), slip.source);
  const code = await codeOf(folder, ['test/mutants/several.ts', file, ...testsOf(file)], testLimitMs);
  if (code === undefined) return 'does not end';
  if (code === 3) return 'no program';
  if (code !== 0) return 'caught by tests';
  if (isArgued(file, slip)) return 'argued';
  if (seeds === 0) return 'survived';
  const found = await codeOf(folder, simulation(seeds), seedLimitMs);
  return found === undefined ? 'does not end' : found === 0 ? 'survived' : 'caught by the simulator';
}

/** True if nothing survives. */
export async function generate(file: string, seeds: number): Promise<boolean> {
  if (touching[file] === undefined) {
    process.stderr.write(`no tests are known for ${file}; add it to 'touching' in test/mutants/slips.ts\n`);
    return false;
  }
  if (!(await isSound(file))) {
    process.stderr.write(`the tests that touch ${file} fail without any slip\n`);
    return false;
  }
  const slips = slipsOf(sourceOf(file));
  process.stdout.write(`${slips.length} slips of ${file}\n`);
  const waiting = [...slips];
  const fates = new Map<Fate, number>();
  const lane = async () => {
    const folder = makeCopy();
    for (let slip = waiting.shift(); slip !== undefined; slip = waiting.shift()) {
      const fate = await fateOf(file, slip, folder, seeds);
      fates.set(fate, (fates.get(fate) ?? 0) + 1);
      if (fate === 'survived' || fate === 'does not end')
        process.stdout.write(`${fate}: ${file}:${slip.line} ${slip.what}: ${slip.text}\n`);
    }
    rmSync(folder, { recursive: true });
  };
  await Promise.all(Array.from({ length: parallelMax }, lane));
  const said = [...fates].map(([fate, count]) => `${count} ${fate}`);
  process.stdout.write(`${file}: ${said.join(', ')}\n`);
  return !fates.has('survived');
}
