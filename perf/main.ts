/**
 * `npm run perf -- <question>`: measurements, each beside its floor in the same run. The last line is JSON.
 */
import { parseArgs } from 'node:util';
import { durable } from './durable.ts';
import { idle } from './idle.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    repeats: { type: 'string', default: '3' },
    count: { type: 'string', default: '1000000' },
  },
});

const questions: Record<string, () => Promise<object>> = {
  durable: () => durable({ seconds: Number(values.seconds), repeats: Number(values.repeats) }),
  idle: () => idle({ count: Number(values.count) }),
};

const question = questions[positionals[0] ?? ''];
if (question === undefined) {
  process.stderr.write(
    `usage: npm run perf -- ${Object.keys(questions).join('|')} [--seconds 3] [--repeats 3] [--count 1000000]\n`,
  );
  process.exitCode = 2;
} else {
  process.stdout.write(`${JSON.stringify(await question())}\n`);
}
