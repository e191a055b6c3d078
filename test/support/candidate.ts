/** Runs one candidate of the election by a transcript. */
import { Election, type ElectionAction } from '../../placement/election.ts';
import { defaultPlacementLimits } from '../../placement/limits.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import { assert } from './suite.ts';

const limits = defaultPlacementLimits;

function textOf(action: ElectionAction): string {
  if (action.kind === 'serve') return `serve ${action.term}`;
  if (action.kind === 'apart') return `apart from ${action.holder}`;
  if (action.kind !== 'try' || action.instead === undefined) return action.kind;
  return `try instead ${action.instead.term} ${action.instead.until}`;
}

/** What one candidate, 'me', does on each event; it pauses for half of pauseMs. */
class Candidate {
  readonly election = new Election({ id: 'me', limits, random: () => 0.5, now: 0 });
  readonly lines: string[] = [];
  now = 0;
  #echoNumber = 0;

  until(end: number): void {
    while (this.election.nextTickAt <= end) {
      this.now = Math.max(this.now, this.election.nextTickAt);
      this.act(this.election.tick(this.now));
    }
    this.now = Math.max(this.now, end);
  }

  act(actions: readonly ElectionAction[]): void {
    for (const action of actions) if (action.kind === 'echo') this.#echoNumber = action.number;
    for (const action of actions) this.lines.push(`${String(Math.round(this.now)).padStart(6)}   ${textOf(action)}`);
  }

  perform(line: string): void {
    const [, at, verb, ...rest] = line.trim().split(/\s+/) as [string, string, string, ...string[]];
    if (verb === 'sleep') this.now = Number(at);
    else this.until(Number(at));
    this.lines.push(line.trim());
    this.act(this.#heard(verb, rest));
  }

  #heard(verb: string, [first, second, third]: string[]): ElectionAction[] {
    const { election, now } = this;
    switch (verb) {
      case 'absent':
        return election.serviceAbsent(now);
      case 'view':
        return election.viewHeard(Number(first) * viewsPerTerm + 1, 90_000 + now - Number(second ?? 0), now);
      case 'retold':
        return election.viewHeard(Number(first) * viewsPerTerm + 1, 0, now);
      case 'echoed':
        return election.echoed(this.#echoNumber - Number(first ?? 0), now);
      case 'present': {
        const number = this.#echoNumber - Number(second ?? 0);
        return election.present({ number, term: Number(first), sent: 90_000 + now - Number(third ?? 0) }, now);
      }
      case 'yield':
        return election.yield(now);
      case 'leased':
        return election.leased({ holder: first as string, term: Number(second), until: Number(third ?? 0) }, now);
      case 'failed':
        return election.failed(now);
      case 'resign':
        return election.resign(now);
      case 'sleep':
        return election.tick(now);
      case 'end':
        return [];
      default:
        throw new Error(`'${verb}' is no event of an election`);
    }
  }
}

/** Compares a transcript: lines with `at` are events, the others the candidate's actions with their times. */
export function holds(transcript: string): void {
  const lines = transcript.split('\n').filter((line) => line.trim() !== '');
  const candidate = new Candidate();
  for (const line of lines) if (/^\s*at /.test(line)) candidate.perform(line);
  const wanted = lines.map((line) => (/^\s*at /.test(line) ? line.trim() : line.replace(/^ {4}/, '')));
  assert.is(candidate.lines.join('\n'), wanted.join('\n'));
}
