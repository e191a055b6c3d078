/**
 * Starts, calls, kills and ends the processes of a measurement. Built code runs with node, sources as this process does.
 *
 * Owns the list of live processes. Within one process (short tests) nothing is forked, and the workers simulate a kill.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOptions } from '../../runtime/cli/programs.ts';
import { childLine, innerLines, Peer } from './process-rpc.ts';
import { newDuties } from './roles.ts';

export type Kind = 'generator' | 'worker' | 'responder';

export interface Hand {
  readonly name: string;
  readonly kind: Kind;
  readonly peer: Peer;
  /** SIGKILL. */
  kill(): void;
  end(): Promise<void>;
}

const program = fileURLToPath(new URL(`../child${extname(import.meta.url)}`, import.meta.url));

export class Crew {
  readonly #profileFolder: string | undefined;
  readonly #isForking: boolean;
  readonly #hands = new Set<Hand>();

  constructor(options: { profileFolder?: string | undefined; isForking: boolean }) {
    this.#profileFolder = options.profileFolder;
    this.#isForking = options.isForking;
  }

  get hands(): readonly Hand[] {
    return [...this.#hands];
  }

  start(kind: Kind, name: string): Hand {
    const hand = this.#isForking ? this.#forked(kind, name) : innerHand(kind, name);
    this.#hands.add(hand);
    return hand;
  }

  /** A generator that was started elsewhere. */
  add(hand: Hand): void {
    this.#hands.add(hand);
  }

  forget(hand: Hand): void {
    this.#hands.delete(hand);
  }

  async end(): Promise<void> {
    const hands = [...this.#hands];
    this.#hands.clear();
    await Promise.all(hands.map((hand) => hand.end()));
  }

  #forked(kind: Kind, name: string): Hand {
    const profile = this.#profileFolder;
    const words =
      profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${fileOf(kind, name)}`];
    const child = fork(program, [kind, name], {
      execArgv: [...nodeOptions(), ...process.execArgv, ...words],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const end = () => void child.kill('SIGKILL');
    process.once('exit', end);
    child.once('exit', () => process.removeListener('exit', end));
    return {
      name,
      kind,
      peer: new Peer(childLine(child, name), {}),
      kill: end,
      end: () => disconnected(child),
    };
  }
}

const fileOf = (kind: Kind, name: string) =>
  `${kind}-${name}-${process.pid}-${Math.round(performance.now())}.cpuprofile`;

/** A process whose coordinator has gone exits by itself, after it has written its profile, if any. */
async function disconnected(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  if (child.connected) child.disconnect();
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exit;
  clearTimeout(late);
}

function innerHand(kind: Kind, name: string): Hand {
  const [mine, theirs] = innerLines();
  new Peer(theirs, newDuties(kind, name));
  const peer = new Peer(mine, {});
  // No process exits here, so everything open is closed explicitly.
  return { name, kind, peer, kill: () => undefined, end: () => peer.ask<void>('close') };
}
