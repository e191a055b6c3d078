/** `skerry perf …`: measures, generates load for another measurement, or compares reports. */
import { closeSync, existsSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { errorText } from '../core/errors.ts';
import { loginOf } from '../runtime/open.ts';
import { failureText } from './failure.ts';
import { helpText } from './help.ts';
import { histogramLog } from './load/histogram.ts';
import { type Asked, agentUrlOf, askedOf, UsageError } from './options.ts';
import type { Plan } from './plan.ts';
import { checkAttached, openTransport } from './processes/process-setup.ts';
import { type Hired, hireAgents, serveAgent } from './processes/remote.ts';
import { intervalsOf, picturesOf, svgOf } from './report/charts.ts';
import { compareText } from './report/compare.ts';
import { pageOf } from './report/html-report.ts';
import type { Outcome } from './report/outcome.ts';
import { noViewer, terminalViewer } from './report/progress.ts';
import { type Report, reportOf } from './report/report.ts';
import { textOf } from './report/text-report.ts';
import { type RunOptions, run } from './run.ts';

/** Time for the last messages of an agent that is ended. */
const farewellMs = 1_000;

async function main(words: readonly string[]): Promise<number> {
  const [first = '', ...rest] = words;
  if (first === '' || words.includes('--help')) {
    process.stdout.write(helpText);
    return first === '' ? 2 : 0;
  }
  try {
    if (first === 'compare') return comparing(rest);
    if (first === 'agent') return await serving(rest);
    return await measuring(words);
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`error: ${isUsage ? error.message : failureText(error)}\n`);
    return isUsage ? 2 : 1;
  }
}

async function measuring(words: readonly string[]): Promise<number> {
  const asked = askedOf(words);
  checkFiles(asked.files);
  const viewer = asked.isQuiet ? noViewer : terminalViewer(process.stderr);
  let soFar: Outcome | undefined;
  const interrupted = (code: number): never => {
    const count = soFar?.repeats.length ?? 0;
    const { repeats } = asked.plan;
    const what = count === 0 ? 'there is no report' : `the report covers ${count} of ${repeats} repeats`;
    process.stderr.write(`\ninterrupted: ${what}\n`);
    if (soFar !== undefined) tell(soFar, asked);
    // Handlers of the exit event end servers and processes and remove folders.
    process.exit(code);
  };
  process.once('SIGINT', () => interrupted(130)).once('SIGTERM', () => interrupted(143));
  const kept = (outcome: Outcome) => {
    soFar = outcome;
  };
  const { lost, doubled } = tell(await measured(asked.plan, { viewer, kept }), asked);
  return lost + doubled === 0 ? 0 : 1;
}

function tell(outcome: Outcome, asked: Asked): Report {
  const report = reportOf(outcome);
  // If the JSON report goes to standard output, the text goes to standard error.
  const reading = asked.files.json === '-' ? process.stderr : process.stdout;
  if (!asked.isQuiet) reading.write(`${textOf(report)}\n`);
  write(report, asked.files);
  return report;
}

/** Measures with its own generators, or with agents on other machines. */
async function measured(plan: Plan, watching: Pick<RunOptions, 'viewer' | 'kept'>): Promise<Outcome> {
  const { nats, attach, cluster, agents } = plan;
  if (nats.kind !== 'at' || !(attach || agents > 0)) return run(plan, { ...watching, isForking: true });
  const transport = await openTransport(nats.url);
  let hired: Hired | undefined;
  try {
    if (attach) await checkAttached(transport, cluster, { identity: loginOf({ nats: nats.url }) });
    hired = await hireAgents(transport, agents, watching);
    return await run(plan, { ...watching, isForking: true, remotes: hired.hands, machines: hired.machines });
  } finally {
    await hired?.release();
    await transport.close();
  }
}

async function serving(words: readonly string[]): Promise<never> {
  const url = agentUrlOf(words);
  const transport = await openTransport(url);
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  const { host, cores } = serveAgent(transport, say);
  say(`agent on ${host} with ${cores} cores waits for measurements`);
  await signalled();
  // An unfinished measurement may wait for a NATS server that is gone, so closing has a time limit.
  await Promise.race([transport.close(), pause(farewellMs)]);
  process.exit(0);
}

/** Resolves at the first signal; the second one ends the process at once. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    let count = 0;
    for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 }))
      process.on(signal, () => {
        count += 1;
        if (count > 1) process.exit(code);
        resolve();
      });
  });
}

/** Checks before the measurement that its files can be written. Otherwise the results would be lost. */
function checkFiles(files: Asked['files']): void {
  for (const path of Object.values(files)) {
    if (path === '-') continue;
    try {
      const isNew = !existsSync(path);
      closeSync(openSync(path, 'a'));
      if (isNew) unlinkSync(path);
    } catch (error) {
      throw new UsageError(`${path} cannot be written: ${errorText(error)}`);
    }
  }
}

function write(report: Report, { json, html, svg, hdr }: Asked['files']): void {
  const text = `${JSON.stringify(report)}\n`;
  if (json === '-') process.stdout.write(text);
  else if (json !== undefined) writeFileSync(json, text);
  if (html !== undefined) writeFileSync(html, pageOf(report));
  if (svg !== undefined) writeFileSync(svg, svgOf(picturesOf(report)));
  if (hdr !== undefined)
    writeFileSync(hdr, histogramLog(intervalsOf(report), `skerry perf ${report.scenario}, latencies in µs`));
}

function comparing(files: readonly string[]): number {
  const [before, after] = files.map(reportIn);
  if (before === undefined || after === undefined || files.length !== 2)
    throw new UsageError('compare takes two reports: skerry perf compare before.json after.json');
  if (before.scenario !== after.scenario)
    throw new UsageError(`the reports are of different scenarios: ${before.scenario} and ${after.scenario}`);
  process.stdout.write(`${compareText(before, after)}\n`);
  return 0;
}

function reportIn(path: string): Report {
  let report: Partial<Report>;
  try {
    report = JSON.parse(readFileSync(path, 'utf8')) as Partial<Report>;
  } catch (error) {
    throw new UsageError(`${path} cannot be read as a report: ${errorText(error)}`);
  }
  if (report.format !== 1 || report.steps === undefined)
    throw new UsageError(`${path} is not a report of this version of skerry perf`);
  return report as Report;
}

// The reader of a pipe may close it at any time. Handlers of the exit event end servers and processes.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
process.exitCode = await main(process.argv.slice(2));
