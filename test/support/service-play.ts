/**
 * Plays the placement service: workers announce themselves and answer pings; the service's actions become text.
 * Used by transcripts and by properties.
 *
 *     at 100 start a-1        a worker 'a', its process 'a-1': announces every announceMs, answers pings
 *     at 900 crash a-1        its subject has no listener left     hang, wake, leave, gone, report, pong, announce
 */
import { defaultPlacementLimits, type PlacementLimits } from '../../placement/limits.ts';
import { PlacementService, type ServiceAction, viewsPerTerm } from '../../placement/service.ts';
import type { Pin, View, WorkerEntry } from '../../placement/view.ts';
import type { PlacementHost } from '../../runtime/cluster/placement-host.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { ControlMessage } from '../../runtime/wire/control-messages.ts';

export type Health = 'alive' | 'hung' | 'crashed';

export function entryOf(id: string, change: Partial<WorkerEntry> = {}): WorkerEntry {
  const name = id.slice(0, id.lastIndexOf('-'));
  const types = [{ type: 'order', labels: [] }];
  return { name, id, weight: 1, labels: [], types, version: '1', isLeaving: false, ...change };
}

interface Actor {
  entry: WorkerEntry;
  health: Health;
  announceAt: number;
}

export class ServicePlay {
  readonly limits: PlacementLimits;
  service: PlacementService;
  now = 0;
  view: View | undefined;
  readonly views: View[] = [];
  readonly lines: string[] = [];
  readonly actors = new Map<string, Actor>();

  constructor(options: { term?: number; view?: View; pins?: readonly Pin[]; limits?: Partial<PlacementLimits> } = {}) {
    this.limits = { ...defaultPlacementLimits, ...options.limits };
    this.view = options.view;
    this.service = this.#serviceOf(options.term ?? 1, options.pins ?? []);
  }

  #serviceOf(term: number, pins: readonly Pin[]): PlacementService {
    const { limits, now, view } = this;
    return new PlacementService({ term, partitions: 16, view, pins, limits, now });
  }

  /** Another worker's service continues from the known view. */
  takeover(term: number): void {
    this.service = this.#serviceOf(term, this.view?.pins ?? []);
  }

  /** Lets time pass: workers announce themselves, the service ticks. */
  until(end: number): void {
    for (;;) {
      const announcers = [...this.actors.values()].filter(({ health }) => health === 'alive');
      const next = Math.min(this.service.nextTickAt, ...announcers.map(({ announceAt }) => announceAt));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const announcer = announcers.find(({ announceAt }) => announceAt <= this.now);
      if (announcer === undefined) this.act(this.service.tick(this.now));
      else this.announce(announcer.entry.id);
    }
    this.now = Math.max(this.now, end);
  }

  announce(id: string): void {
    const actor = this.actors.get(id) as Actor;
    actor.announceAt = this.now + this.limits.announceMs;
    this.act(this.service.announced(actor.entry, this.now, this.now));
  }

  /** A live worker announces itself once. */
  say(entry: WorkerEntry, now: number): void {
    this.now = Math.max(this.now, now);
    this.actors.set(entry.id, { entry, health: 'alive', announceAt: Number.POSITIVE_INFINITY });
    this.act(this.service.announced(entry, now, now));
  }

  /** Answers to pings come after everything that was decided in the same step. */
  act(actions: readonly ServiceAction[]): void {
    for (const action of actions) if (action.kind === 'publish') this.#publish(action.view);
    for (const action of actions) if (action.kind === 'ping') this.#ping(action);
  }

  #publish(view: View): void {
    if (view === this.view) return;
    this.view = view;
    this.views.push(view);
    const workers = view.workers.map(({ id, isLeaving }) => `${id}${isLeaving ? ' leaving' : ''}`);
    const pins = view.pins.map(({ address, worker }) => `, ${address} on ${worker}`).join('');
    const version = `${Math.floor(view.version / viewsPerTerm)}.${view.version % viewsPerTerm}`;
    this.#say(`view ${version}: ${workers.join(', ') || 'nobody'}${pins}`);
  }

  #ping({ id, mark }: Extract<ServiceAction, { kind: 'ping' }>): void {
    const health = this.actors.get(id)?.health ?? 'crashed';
    this.#say(`ping ${id}: ${{ alive: 'pong', hung: 'silence', crashed: 'nobody' }[health]}`);
    if (health === 'alive') this.act(this.service.ponged(id, mark, this.now, this.now));
    if (health === 'crashed') this.act(this.service.pingAbsent(id, this.now));
  }

  #say(text: string): void {
    this.lines.push(`${String(this.now).padStart(6)}   ${text}`);
  }

  /** One line of a transcript. */
  perform(line: string): void {
    const [, at, verb, id = '', ...rest] = line.trim().split(/\s+/) as [string, string, string, string?, ...string[]];
    this.until(Number(at));
    this.lines.push(`at ${[at, verb, id, ...rest].join(' ').trim()}`);
    const actor = this.actors.get(id);
    if (verb === 'start') this.actors.set(id, { entry: entryOf(id), health: 'alive', announceAt: this.now });
    else if (verb === 'sleep') this.#sleep(Number(id));
    else if (verb === 'takeover') this.takeover(Number(id));
    else if (verb === 'report') this.act(this.service.absent(id, 'x', this.now));
    else if (verb === 'pin') this.act(this.service.pinned([{ address: id, worker: rest[0] as string }], this.now));
    else if (actor !== undefined) this.#change(verb, actor);
    else if (verb !== 'end') throw new Error(`'${line}' is no line of a transcript`);
    this.until(this.now);
  }

  /** The service's process is paused while its clock continues. */
  #sleep(ms: number): void {
    this.now += ms;
    for (const actor of this.actors.values()) actor.announceAt = Math.max(actor.announceAt, this.now + 1);
  }

  #change(verb: string, actor: Actor): void {
    const { entry } = actor;
    if (verb === 'crash') actor.health = 'crashed';
    else if (verb === 'hang') actor.health = 'hung';
    else if (verb === 'wake') Object.assign(actor, { health: 'alive', announceAt: this.now });
    else if (verb === 'leave') {
      actor.entry = { ...entry, isLeaving: true };
      this.announce(entry.id);
    } else if (verb === 'gone') {
      actor.health = 'crashed';
      this.act(this.service.gone(entry.id, this.now));
    } else throw new Error(`a worker does not '${verb}'`);
  }
}

/** Performs the events of a transcript (lines that begin with 'at') and rewrites it with the service's actions. */
export function perform(transcript: string, options: ConstructorParameters<typeof ServicePlay>[0] = {}): string {
  const play = new ServicePlay(options);
  for (const line of transcript.split('\n')) if (/^\s*at /.test(line)) play.perform(line);
  return play.lines.join('\n');
}

/** How live workers react to what the service's host tells them. */
export function answerTo(host: PlacementHost, id: string, environment: Environment, message: ControlMessage): void {
  if (message.kind === 'echo') host.echoed(message.number);
  if (message.kind === 'ping') host.receive({ kind: 'pong', id, mark: message.mark, sent: environment.now() });
}
