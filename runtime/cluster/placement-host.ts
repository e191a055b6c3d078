/**
 * The host of the placement service in one worker: drives the election and, while it has the lease, the service, with the
 * clock, the store and signals. Decides nothing itself: `placement/election.ts` and `placement/service.ts` do.
 *
 * Invariants:
 * - SH1 The service acts only between the election's `serve` and `stop`, under the term that it was told.
 */

import { Election, type ElectionAction, type SeenLease } from '../../placement/election.ts';
import { Stamps } from '../../placement/freshness.ts';
import type { PlacementLimits } from '../../placement/limits.ts';
import { PlacementService, type ServiceAction } from '../../placement/service.ts';
import type { View } from '../../placement/view.ts';
import type { Environment } from '../environment.ts';
import type { Lease, Store } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import { briefly } from '../worker/shutdown.ts';

export interface PlacementHostParts {
  readonly environment: Environment;
  readonly store: Store;
  readonly limits: PlacementLimits;
  /** Of this worker's process. */
  readonly id: string;
  /** The last view known here. */
  readonly view: () => View | undefined;
  readonly publish: (view: View, sent: number) => void;
  /** Of this worker, for people. */
  readonly name: string;
  /** This worker is cut off from the service, which the process `holder` runs; and is not any more. */
  readonly apart: (holder: string) => void;
  readonly together: () => void;
  /** To a worker, by its id. */
  readonly signal: (id: string, signal: ControlMessage) => void;
  /** To the service, wherever it runs. */
  readonly ask: (signal: ControlMessage) => void;
  /** Hear what is sent to the service; the function that comes back ends that. */
  readonly listen: () => () => void;
}

const leaseName = 'placement';
/** A lease of those who are cut off, by which the service hears of them: one of them keeps it for so long, ms. */
const apartName = 'apart';
const apartMs = 10_000;
/** The service looks for who is cut off this often, and takes a cut for healed when nothing showed it for so long, ms. */
const lookMs = 1_000;
const healedMs = 5_000;
/** Sooner than this nothing is due, ms. */
const tickMsMin = 1;

export class PlacementHost {
  readonly #parts: PlacementHostParts;
  readonly #election: Election;
  #service: PlacementService | undefined;
  #stopListening: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #tickAt = Number.POSITIVE_INFINITY;
  #isReadingPins = false;
  #arePinsOld = false;
  #isOver = false;
  readonly #stamps = new Stamps();
  /** Who runs the service while this worker does not hear it. */
  #apartFrom: string | undefined;
  #seenApart: Lease | undefined;
  #split = '';
  #splitAt = Number.NEGATIVE_INFINITY;

  constructor(parts: PlacementHostParts) {
    this.#parts = parts;
    const { id, limits, environment } = parts;
    this.#election = new Election({ id, limits, random: () => environment.random(), now: environment.steady() });
  }

  get isServing(): boolean {
    return this.#service !== undefined;
  }

  /** What of the cluster is cut off from what, as far as is known here; '': nothing. */
  get split(): string {
    return this.#split;
  }

  start(): void {
    this.#plan();
  }

  /** This worker is about to leave. */
  leaving(): void {
    this.#election.leaving();
  }

  /** End the service and give the lease up, so that another worker has it at once. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    const { environment, store, id } = this.#parts;
    const wasServing = this.isServing;
    this.#perform(this.#election.resign(environment.steady()));
    this.crash();
    if (!wasServing) return;
    const given = store.lease(leaseName, id, { now: environment.now(), ms: 0 }).catch((error: unknown) => {
      environment.log.warn(
        { error: String(error) },
        'releasing the lease of the placement service failed; the lease will lapse',
      );
    });
    await briefly(environment, given);
  }

  crash(): void {
    this.#isOver = true;
    this.#cancelTick?.();
    this.#endService();
  }

  // ---- what is heard

  heardView(view: View, sent: number): void {
    this.#with((now) => this.#election.viewHeard(view.version, sent, now));
    this.#serve((service, now) => service.viewHeard(view, now));
  }

  echoed(number: number): void {
    this.#with((now) => this.#election.echoed(number, now));
  }

  present(answer: Extract<ControlMessage, { kind: 'present' }>): void {
    this.#with((now) => this.#election.present(answer, now));
  }

  serviceAbsent(): void {
    this.#with((now) => this.#election.serviceAbsent(now));
  }

  /** Nobody listens at a worker's subject. If it was this service's ping that found that, the worker is out. */
  workerAbsent(id: string): void {
    this.#serve((service, now) => service.pingAbsent(id, now));
    if (this.#service?.takeMinority() === true) this.#with((now) => this.#election.yield(now));
  }

  /** What came to the subject of the service. */
  receive(signal: ControlMessage): void {
    switch (signal.kind) {
      case 'announce':
        this.#serve((service, now) => service.announced(signal.entry, signal.sent, now));
        return this.#dismiss(signal.entry.id);
      case 'absent':
        return this.#serve((service, now) => service.absent(signal.id, signal.by, now));
      case 'pong':
        return this.#serve((service, now) => service.ponged(signal.id, signal.mark, signal.sent, now));
      case 'doubt':
        return this.#reassure(signal.id, signal.number);
      case 'gone':
        return this.#serve((service, now) => service.gone(signal.id, now));
      case 'pinned':
        void this.#readPins();
        return;
      default:
        return;
    }
  }

  /** Who does not hear this service, or takes what it hears for late, asks whether it is there. */
  #reassure(id: string, number: number): void {
    if (this.#service === undefined) return;
    this.#parts.signal(id, { kind: 'present', number, term: this.#service.term, sent: this.#stamp() });
  }

  #stamp(): number {
    const { environment } = this.#parts;
    return this.#stamps.next(environment.now(), environment.steady());
  }

  /** Who announces itself for nothing is told: it hung while another process got its place. */
  #dismiss(id: string): void {
    if (this.#service?.isOut(id) !== true) return;
    this.#parts.signal(id, { kind: 'gone', id, viewVersion: this.#parts.view()?.version ?? 0 });
  }

  // ---- driving

  #with(event: (now: number) => ElectionAction[]): void {
    if (this.#isOver) return;
    this.#perform(event(this.#parts.environment.steady()));
    this.#plan();
  }

  #serve(event: (service: PlacementService, now: number) => ServiceAction[]): void {
    if (this.#isOver || this.#service === undefined) return;
    this.#act(event(this.#service, this.#parts.environment.steady()));
    this.#plan();
  }

  #perform(actions: readonly ElectionAction[]): void {
    for (const action of actions) {
      if (action.kind === 'try') void this.#try(action.instead);
      else if (action.kind === 'look') void this.#look();
      else if (action.kind === 'serve') void this.#begin(action.term);
      else if (action.kind === 'stop') this.#endService();
      else if (action.kind === 'echo') this.#echo(action.number);
      else if (action.kind === 'apart') this.#part(action.holder);
      else this.#join();
    }
  }

  #echo(number: number): void {
    const { id, signal, ask } = this.#parts;
    signal(id, { kind: 'echo', number });
    if (!this.isServing) ask({ kind: 'doubt', id, number });
  }

  // ---- a split cluster

  #part(holder: string): void {
    this.#apartFrom = holder;
    this.#split = 'cut off from the worker that runs the placement service';
    this.#parts.apart(holder);
  }

  #join(): void {
    this.#apartFrom = undefined;
    this.#split = '';
    this.#parts.together();
  }

  /** Who is cut off says so in the store, where the service looks for it. What cannot be asked is asked again soon. */
  async #tellApart(): Promise<void> {
    const { environment, store, name } = this.#parts;
    await store.lease(apartName, name, { now: environment.now(), ms: apartMs }).catch(() => undefined);
  }

  #lookAgain(service: PlacementService): void {
    this.#parts.environment.after(lookMs, () => void this.#lookAround(service));
  }

  async #lookAround(service: PlacementService): Promise<void> {
    const { environment, store, id } = this.#parts;
    const isOver = () => this.#isOver || this.#service !== service;
    if (isOver()) return;
    const apart = await store.lease(apartName, id, { now: environment.now(), ms: 0 }).catch(() => undefined);
    if (isOver()) return;
    this.#noteSplit(service, apart);
    this.#lookAgain(service);
  }

  #noteSplit(service: PlacementService, apart: Lease | undefined): void {
    const { environment } = this.#parts;
    const now = environment.steady();
    const isRenewed = this.#seenApart !== undefined && apart !== undefined && apart.until !== this.#seenApart.until;
    const [dispute] = service.disputes;
    if (apart !== undefined) this.#seenApart = apart;
    if (isRenewed && apart.holder !== '') this.#saySplit(`${apart.holder} reaches the store but not this service`);
    else if (dispute !== undefined) this.#saySplit(`${dispute.name} answers this service, but others report it absent`);
    else if (this.#split !== '' && now >= this.#splitAt + healedMs) {
      this.#split = '';
      environment.log.info({}, 'the cluster is whole again');
    }
  }

  /** One line for a split, however long it lasts and whoever shows it. */
  #saySplit(what: string): void {
    const { environment } = this.#parts;
    this.#splitAt = environment.steady();
    if (this.#split === '')
      environment.log.warn(
        { what },
        'the cluster is split: some workers do not hear each other; the workers that the placement service hears own the partitions; check the routes between the NATS servers',
      );
    this.#split = what;
  }

  // ---- the lease

  async #try(instead: SeenLease | undefined): Promise<void> {
    const { environment, store, id, limits } = this.#parts;
    const given = { now: environment.now(), ms: limits.leaseMs };
    let lease: Lease;
    try {
      lease = await store.lease(leaseName, id, instead === undefined ? given : { ...given, instead });
    } catch (error) {
      environment.log.warn({ error: String(error) }, 'requesting the lease of the placement service failed');
      this.#with((now) => this.#election.failed(now));
      return;
    }
    this.#with((now) => this.#election.leased(lease, now));
    if (this.#apartFrom !== undefined) await this.#tellApart();
  }

  /** In nobody's name, and for no time: that takes and gives up nothing. */
  async #look(): Promise<void> {
    const { environment, store } = this.#parts;
    const lease = await store.lease(leaseName, '', { now: environment.now(), ms: 0 }).catch(() => undefined);
    if (lease !== undefined) this.#with((now) => this.#election.leased(lease, now));
  }

  async #begin(term: number): Promise<void> {
    const { environment, store, limits, view } = this.#parts;
    let pins: Awaited<ReturnType<Store['pins']>> | undefined;
    while (pins === undefined) {
      pins = await store.pins().catch(() => undefined);
      if (pins === undefined) await new Promise<void>((resolve) => void environment.after(limits.graceMs, resolve));
      // While the store was asked, somebody else may have got the lease.
      if (this.#isOver || this.#election.servingTerm !== term) return;
    }
    this.#endService();
    environment.log.info({ term }, 'the placement service runs here');
    const known = view();
    const now = environment.steady();
    this.#service = new PlacementService({ term, partitions: store.partitions, view: known, pins, limits, now });
    this.#stopListening = this.#parts.listen();
    this.#readPinsAgain(this.#service);
    this.#lookAgain(this.#service);
    this.#plan();
  }

  /** One read at a time, or an earlier one could have the last word. */
  async #readPins(): Promise<void> {
    const service = this.#service;
    this.#arePinsOld = true;
    if (this.#isReadingPins) return;
    this.#isReadingPins = true;
    while (this.#arePinsOld && this.#service === service) {
      this.#arePinsOld = false;
      try {
        const pins = await this.#parts.store.pins();
        if (this.#service === service) this.#serve((one, now) => one.pinned(pins, now));
      } catch (error) {
        this.#parts.environment.log.warn({ error: String(error) }, 'reading the pins failed; retrying soon');
      }
    }
    this.#isReadingPins = false;
  }

  /** Who pins may crash before it says so, or not be heard. */
  #readPinsAgain(service: PlacementService): void {
    const { environment, limits } = this.#parts;
    environment.after(limits.readPinsMs, () => {
      if (this.#isOver || this.#service !== service) return;
      void this.#readPins();
      this.#readPinsAgain(service);
    });
  }

  #endService(): void {
    if (this.#apartFrom === undefined) this.#split = '';
    this.#service = undefined;
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  #act(actions: readonly ServiceAction[]): void {
    for (const action of actions) {
      if (action.kind === 'publish') this.#parts.publish(action.view, this.#stamp());
      else this.#parts.signal(action.id, { kind: 'ping', mark: action.mark });
    }
  }

  /** One alarm for whichever of the two is due first. */
  #plan(): void {
    if (this.#isOver) return;
    const { environment } = this.#parts;
    const at = Math.min(this.#election.nextTickAt, this.#service?.nextTickAt ?? Number.POSITIVE_INFINITY);
    if (at === this.#tickAt) return;
    this.#cancelTick?.();
    this.#tickAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#cancelTick = environment.after(Math.max(tickMsMin, Math.ceil(at - environment.steady())), () => this.#tick());
  }

  #tick(): void {
    if (this.#isOver) return;
    this.#tickAt = Number.POSITIVE_INFINITY;
    const now = this.#parts.environment.steady();
    if (now >= this.#election.nextTickAt) this.#perform(this.#election.tick(now));
    if (this.#service !== undefined && now >= this.#service.nextTickAt) this.#act(this.#service.tick(now));
    if (this.#service?.takeMinority() === true) this.#perform(this.#election.yield(now));
    this.#plan();
  }
}
