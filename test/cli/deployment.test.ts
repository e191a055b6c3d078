/** The examples of deployment: well-formed, and they say what workers really understand. */
import { parse, parseAllDocuments } from 'yaml';
import type { Command } from '../../runtime/cli/command.ts';
import { drain } from '../../runtime/cli/commands/drain.ts';
import { ready } from '../../runtime/cli/commands/ready.ts';
import { worker } from '../../runtime/cli/commands/worker.ts';
import { nodeOptions } from '../../runtime/cli/programs.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const deployment = suite('deployment');
const program = 'node_modules/.bin/skerry';
const commands: readonly Command[] = [worker, ready, drain];

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const compose: Compose = parse(textOf('docs/compose.yaml') ?? '', { merge: true });

/** The words of a command line are a command of ours with options and parameters that it has. */
function isUnderstood(words: readonly string[]): void {
  const [first, name, ...rest] = words;
  assert.is(first, program);
  const command = commands.find((one) => one.name === name);
  assert.ok(command, `skerry ${name}`);
  const flags = command.options.map(({ flag }) => flag.split(' ')[0]);
  for (const word of rest.filter((one) => one.startsWith('--'))) assert.ok(flags.includes(word), `${name} ${word}`);
  const wanted = command.parameters.split(' ').filter((one) => one !== '').length;
  assert.is(rest.filter((one) => !one.startsWith('--')).length, wanted, words.join(' '));
}

/** A variable that the options of the commands can come from, or Node's. */
function isVariable(name: string): void {
  const known = commands.flatMap(({ options }) => options.map(({ flag }) => flag.split(' ')[0]?.slice(2) ?? ''));
  const names = known.map((flag) => `SKERRY_${flag.replaceAll('-', '_').toUpperCase()}`);
  assert.ok([...names, 'NODE_OPTIONS'].includes(name), name);
}

deployment('compose.yaml: every service has an image and what it names: services, conditions, volumes', () => {
  const keys = ['image', 'command', 'environment', 'volumes', 'depends_on', 'healthcheck', 'stop_grace_period'];
  const further = ['working_dir', 'init', 'restart'];
  for (const [name, service] of Object.entries(compose.services)) {
    for (const key of Object.keys(service)) assert.ok([...keys, ...further].includes(key), `${name}.${key}`);
    assert.match(service.image ?? '', /^[a-z]+:[\w.-]+$/);
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.is(condition, 'service_healthy');
      assert.ok(compose.services[other]?.healthcheck, `${name} waits for ${other}`);
    }
    for (const volume of service.volumes ?? []) {
      const [from = ''] = volume.split(':');
      assert.ok(from.startsWith('.') || Object.hasOwn(compose.volumes, from), `${name} mounts ${volume}`);
    }
  }
});

deployment('compose.yaml: three workers with names of their own, told where NATS and the store are', () => {
  const workers = Object.entries(compose.services).filter(([name]) => name.startsWith('worker'));
  assert.is(workers.length, 3);
  for (const [name, { command = [], environment = {}, healthcheck, stop_grace_period }] of workers) {
    isUnderstood(command);
    isUnderstood(healthcheck?.test.slice(1) ?? []);
    for (const variable of Object.keys(environment)) isVariable(variable);
    assert.is(environment.NODE_OPTIONS, nodeOptions().join(' '));
    assert.is(environment.SKERRY_NAME, name);
    for (const url of [environment.SKERRY_NATS, environment.SKERRY_STORE])
      assert.ok(Object.hasOwn(compose.services, new URL((url ?? '').replace(/\$\{.*?\}/, 'x')).hostname), url);
    assert.ok(Number.parseInt(stop_grace_period ?? '', 10) > 30);
  }
});

deployment('P8: compose.yaml: its Redis keeps every acknowledged turn on the disk, and evicts nothing', () => {
  const { command = [], volumes = [] } = compose.services.redis ?? {};
  const words = command.join(' ');
  for (const part of ['--appendonly yes', '--appendfsync always', '--maxmemory-policy noeviction'])
    assert.ok(words.includes(part), part);
  assert.ok(volumes.some((volume) => volume.endsWith(':/data')));
});

// biome-ignore lint/suspicious/noExplicitAny: documents of many kinds, each looked at below.
const objects: any[] = parseAllDocuments(textOf('docs/kubernetes.yaml') ?? '').map((document) => {
  assert.equal(document.errors, []);
  return document.toJS();
});

deployment('kubernetes.yaml: each object has its kind and name, and selectors find the pods', () => {
  assert.equal(
    objects.map(({ apiVersion, kind, metadata }) => `${apiVersion} ${kind} ${metadata.name}`),
    [
      'v1 Secret skerry-place',
      'v1 Service worker',
      'policy/v1 PodDisruptionBudget worker',
      'apps/v1 StatefulSet worker',
    ],
  );
  const [, service, budget, { spec }] = objects;
  const { labels } = spec.template.metadata;
  for (const selector of [service.spec.selector, budget.spec.selector.matchLabels, spec.selector.matchLabels])
    assert.equal(selector, labels);
  assert.is(spec.serviceName, service.metadata.name);
});

deployment('kubernetes.yaml: a pod is ready by its claims, is drained before it ends, and has the time for it', () => {
  const [secret, , , { spec }] = objects;
  const { terminationGracePeriodSeconds, containers } = spec.template.spec;
  const [container] = containers;
  isUnderstood(container.command);
  isUnderstood(container.readinessProbe.exec.command);
  const [shell, flag, script] = container.lifecycle.preStop.exec.command;
  assert.equal([shell, flag], ['sh', '-c']);
  isUnderstood(script.replace(/^exec /, '').split(' '));
  assert.match(script, /drain "\$SKERRY_NAME"$/);
  assert.ok(terminationGracePeriodSeconds >= 60 + 30);
  assert.is(container.livenessProbe, undefined);
  for (const { name } of container.env) isVariable(name);
  const variables: readonly { name: string; value?: string }[] = container.env;
  assert.is(variables.find(({ name }) => name === 'NODE_OPTIONS')?.value, nodeOptions().join(' '));
  for (const name of Object.keys(secret.stringData)) isVariable(name);
  assert.equal(container.env[0].valueFrom.fieldRef, { fieldPath: 'metadata.name' });
  assert.equal(container.envFrom, [{ secretRef: { name: secret.metadata.name } }]);
});

deployment.run();
