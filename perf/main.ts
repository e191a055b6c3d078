/** `skerry perf …`: measure, be measured from elsewhere, or compare. */
import { writeFileSync } from 'node:fs';
import { terminalViewer } from './live.ts';
import { askedOf, UsageError } from './options.ts';
import { reportOf } from './report.ts';
import { run } from './run.ts';
import { textOf } from './text.ts';

async function main(words: readonly string[]): Promise<number> {
  try {
    return await measure(words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    return 2;
  }
}

async function measure(words: readonly string[]): Promise<number> {
  const { plan, files } = askedOf(words);
  const outcome = await run(plan, { viewer: terminalViewer(process.stderr), isForking: true });
  const report = reportOf(outcome);
  process.stdout.write(`${textOf(report)}\n`);
  if (files.json !== undefined) writeFileSync(files.json, `${JSON.stringify(report)}\n`);
  return report.lost + report.doubled === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
