import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SkerryError } from '../../core/errors.ts';
import { run } from './job.ts';
import { assert, rejects, suite } from './suite.ts';
import { isComplete, judgeFile, judgeTool, limitSecondsOf, sourceProblems, totalsOf, type Verdict } from './verdict.ts';

const verdicts = suite('verdict of a run');
const root = join(import.meta.dirname, '..', '..');

// Built from parts: this file's own source is judged as well.
const only = `  t.${'only'}('x', () => {});\n`;
const head = `import { suite } from 'uvu';\nconst ${'t'} = suite('t');\n`;

/** Runs the text as a test file and judges it, as the runner does. */
async function judge(source: string, limitMs = 20_000): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), 'skerry-verdict-'));
  const path = join(folder, 'sample.test.ts');
  const text = source.replace("'uvu'", `'${join(root, 'node_modules/uvu/dist/index.mjs')}'`);
  try {
    await writeFile(path, text);
    const command = [process.execPath, '--import', 'tsx', path] as const;
    const ended = await run({ command, folder: root, limitMs, closeMs: 300, isComplete });
    return judgeFile(source, ended);
  } finally {
    await rm(folder, { recursive: true });
  }
}

verdicts('passed and failed tests are counted', async () => {
  const verdict = await judge(`${head}t('a', () => {});\nt('b', () => { throw new Error('no'); });\nt.run();`);
  assert.equal(verdict, { passed: 1, failed: 1, skipped: 0, problems: [] });
});

verdicts('a file that forgets run() fails, although uvu exits with 0', async () => {
  const verdict = await judge(`${head}t('a', () => {});`);
  assert.is(verdict.failed, verdict.problems.length);
  assert.match(verdict.problems.join(), /never calls t\.run\(\).*ran no test/);
});

verdicts('a file with one suite run and one forgotten fails', async () => {
  const verdict = await judge(`${head}const other = suite('o');\nt('a', () => {});\nother('b', () => {});\nt.run();`);
  assert.equal(verdict.problems, ['it never calls other.run()']);
});

verdicts('an .only that was left fails', async () => {
  const verdict = await judge(`${head}t('a', () => {});\n${only}t.run();`);
  assert.match(verdict.problems.join(), /an \.only is left/);
});

verdicts('a skip needs its reason', async () => {
  const skipping = `${head}t('a', () => {});\nt.skip('b');\nt.run();`;
  assert.match((await judge(skipping)).problems.join(), /it skipped 1/);
  const verdict = await judge(`${skipping} // ${'skipped because'} there is no server here`);
  assert.equal(verdict, { passed: 1, failed: 0, skipped: 1, problems: [] });
});

verdicts('an open handle fails with the name of what happened, and does not hang', async () => {
  const verdict = await judge(`${head}t('a', () => { setInterval(() => {}, 1_000); });\nt.run();`);
  assert.is(verdict.passed, 1);
  assert.match(verdict.problems.join(), /kept the process alive/);
});

verdicts('a test that never ends is stopped', async () => {
  const verdict = await judge(`${head}t('a', () => new Promise((r) => setTimeout(r, 60_000)));\nt.run();`, 2_500);
  assert.is(verdict.passed, 0);
  assert.equal(verdict.problems, ['it was stopped: over its time limit']);
});

verdicts('a process that waits for nothing, or exits early, ran no test', async () => {
  for (const body of ['new Promise(() => {})', 'process.exit(0)']) {
    const verdict = await judge(`${head}t('a', () => ${body});\nt.run();`);
    assert.is(verdict.passed, 0);
    assert.ok(verdict.failed > 0);
  }
});

verdicts('an error outside of the tests fails a file whose tests passed', async () => {
  const verdict = await judge(
    `${head}t('a', () => {});\nt.run();\nprocess.on('exit', () => { process.exitCode = 3; });`,
  );
  assert.equal(verdict.problems, ['it ended with exit code 3']);
});

verdicts('a process that a test left behind does not hold up the run', async () => {
  const child = `spawn('sleep', ['50'], { stdio: 'inherit', detached: false }).unref()`;
  const verdict = await judge(
    `${head}import { spawn } from 'node:child_process';\nt('a', () => { ${child}; });\nt.run();`,
  );
  assert.is(verdict.passed, 1);
});

verdicts('a tool is one test, by its exit code', () => {
  assert.is(judgeTool({ how: 'by itself', exitCode: 0, output: '' }).passed, 1);
  assert.is(judgeTool({ how: 'by itself', exitCode: 1, output: '' }).failed, 1);
  assert.is(judgeTool({ how: 'over its time', exitCode: null, output: '' }).failed, 1);
});

verdicts('time limits, totals and suites are read from texts', () => {
  assert.is(limitSecondsOf('/** x. */'), 120);
  assert.is(limitSecondsOf('/**\n * Real servers.\n * Time limit: 600 s.\n */'), 600);
  assert.is(totalsOf('nothing'), undefined);
  const output = '  Total:     3\n  Passed:    2\n  Skipped:   0\n';
  assert.equal(totalsOf(`${output}\n${output}`), { total: 6, passed: 4, skipped: 0 });
  assert.equal(sourceProblems(`import { ${'test'} } from 'uvu';`), ['it never calls test.run()']);
});

const limits = suite('suite with limits');

limits('rejects() wants an error of the code, and gives it back', async () => {
  const error = await rejects(Promise.reject(new SkerryError('refused', 'no tea')), 'refused', /tea/);
  assert.is(error.message, 'no tea');
  const problems: string[] = [];
  const failing = [Promise.resolve(1), Promise.reject(new Error('x')), Promise.reject(new SkerryError('failed', 'x'))];
  for (const promise of failing)
    await rejects(promise, 'refused').catch((problem: Error) => problems.push(problem.message));
  assert.equal(problems, [
    "expected 'refused', but it resolved to 1",
    "rejected, but not with 'refused': Error: x",
    "rejected, but not with 'refused': SkerryError: x",
  ]);
});

limits('a test over its time fails by name, and the others run', async () => {
  const support = join(root, 'test/support/suite.ts');
  const slow = `t('slow', () => new Promise(() => {}), { timeoutMs: 20 });\nt('quick', () => {});\nt.run();`;
  const verdict = await judge(`import { suite } from '${support}';\nconst ${'t'} = suite('t');\n${slow}`);
  assert.equal(verdict, { passed: 1, failed: 1, skipped: 0, problems: [] });
});

verdicts.run();
limits.run();
