/**
 * The host of the placement service in one worker: drives the election and, while it has the lease, the service, with the
 * clock, the store and signals. Decides nothing itself: `placement/election.ts` and `placement/service.ts` do.
 *
 * Invariants:
 * - SH1 The service acts only between the election's `serve` and `stop`, under the term that it was told.
 */
import { Election, type ElectionAction } from '../placement/election.ts';
import type { PlacementLimits } from '../placement/limits.ts';
import { PlacementService, type ServiceAction } from '../placement/service.ts';
import type { View } from '../placement/view.ts';
import type { Environment } from './environment.ts';
import type { Signal } from './signals.ts';
import type { Lease, Store } from './store.ts';

export interface ServiceHostParts {
  readonly environment: Environment;
  readonly store: Store;
  readonly limits: PlacementLimits;
  /** Of this worker's process. */
  readonly id: string;
  /** The last view known here. */
  readonly view: () => View | undefined;
  readonly publish: (view: View) => void;
  /** To a worker, by its id. */
  readonly signal: (id: string, signal: Signal) => void;
  /** Hear what is sent to the service; the function that comes back ends that. */
  readonly listen: () => () => void;
}

const leaseName = 'placement';
/** A store that does not answer is asked again by the election; sooner than this nothing is due, ms. */
const tickMsMin = 1;

export class ServiceHost {
  readonly #parts: ServiceHostParts;
  readonly #election: Election;
  #service: PlacementService | undefined;
  #stopListening: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #tickAt = Number.POSITIVE_INFINITY;
  #isReadingPins = false;
  #arePinsOld = false;
  #isOver = false;

  constructor(parts: ServiceHostParts) {
    this.#parts = parts;
    const { id, limits, environment } = parts;
    this.#election = new Election({ id, limits, random: () => environment.random(), now: environment.now() });
  }

  get isServing(): boolean {
    return this.#service !== undefined;
  }

  start(): void {
    this.#plan();
  }

  /** End the service and give the lease up, so that another worker has it at once. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    const { environment, store, id } = this.#parts;
    const wasServing = this.isServing;
    this.#perform(this.#election.resign(environment.now()));
    this.crash();
    if (!wasServing) return;
    await store.lease(leaseName, id, { now: environment.now(), ms: 0 }).catch((error: unknown) => {
      environment.log.warn(
        { error: String(error) },
        'the lease of the placement service could not be given up; it lapses',
      );
    });
  }

  crash(): void {
    this.#isOver = true;
    this.#cancelTick?.();
    this.#endService();
  }

  // ---- what is heard

  heardView(view: View): void {
    this.#with((now) => this.#election.viewHeard(view.version, now));
    this.#serve((service, now) => service.viewHeard(view, now));
  }

  echoed(): void {
    this.#with((now) => this.#election.echoed(now));
  }

  serviceAbsent(): void {
    this.#with((now) => this.#election.serviceAbsent(now));
  }

  /** Nobody listens at a worker's subject. If it was this service's ping that found that, the worker is out. */
  workerAbsent(id: string): void {
    this.#serve((service, now) => service.pingAbsent(id, now));
  }

  /** What came to the subject of the service. */
  receive(signal: Signal): void {
    switch (signal.kind) {
      case 'announce':
        this.#serve((service, now) => service.announced(signal.entry, now));
        return this.#dismiss(signal.entry.id);
      case 'absent':
        return this.#serve((service, now) => service.absent(signal.id, now));
      case 'pong':
        return this.#serve((service, now) => service.ponged(signal.id, now));
      case 'gone':
        return this.#serve((service, now) => service.gone(signal.id, now));
      case 'pinned':
        void this.#readPins();
        return;
      default:
        return;
    }
  }

  /** Who announces itself for nothing is told: it hung while another process got its place. */
  #dismiss(id: string): void {
    if (this.#service?.isOut(id) === true) this.#parts.signal(id, { kind: 'gone', id });
  }

  // ---- driving

  #with(event: (now: number) => ElectionAction[]): void {
    if (this.#isOver) return;
    this.#perform(event(this.#parts.environment.now()));
    this.#plan();
  }

  #serve(event: (service: PlacementService, now: number) => ServiceAction[]): void {
    if (this.#isOver || this.#service === undefined) return;
    this.#act(event(this.#service, this.#parts.environment.now()));
    this.#plan();
  }

  #perform(actions: readonly ElectionAction[]): void {
    for (const action of actions) {
      if (action.kind === 'try') void this.#try(action.instead);
      else if (action.kind === 'serve') void this.#begin(action.term);
      else if (action.kind === 'stop') this.#endService();
      else this.#parts.signal(this.#parts.id, { kind: 'pong', id: this.#parts.id });
    }
  }

  async #try(instead: number | undefined): Promise<void> {
    const { environment, store, id, limits } = this.#parts;
    const given = { now: environment.now(), ms: limits.leaseMs };
    let lease: Lease;
    try {
      lease = await store.lease(leaseName, id, instead === undefined ? given : { ...given, instead });
    } catch (error) {
      environment.log.warn({ error: String(error) }, 'the lease of the placement service could not be asked for');
      this.#with((now) => this.#election.failed(now));
      return;
    }
    this.#with((now) => this.#election.leased(lease, now));
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
    const now = environment.now();
    this.#service = new PlacementService({ term, partitions: store.partitions, view: known, pins, limits, now });
    this.#stopListening = this.#parts.listen();
    this.#readPinsAgain(this.#service);
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
        this.#parts.environment.log.warn(
          { error: String(error) },
          'the pins could not be read; they are read again soon',
        );
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
    this.#service = undefined;
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  #act(actions: readonly ServiceAction[]): void {
    for (const action of actions) {
      if (action.kind === 'publish') this.#parts.publish(action.view);
      else this.#parts.signal(action.id, { kind: 'ping' });
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
    this.#cancelTick = environment.after(Math.max(tickMsMin, Math.ceil(at - environment.now())), () => this.#tick());
  }

  #tick(): void {
    if (this.#isOver) return;
    this.#tickAt = Number.POSITIVE_INFINITY;
    const now = this.#parts.environment.now();
    if (now >= this.#election.nextTickAt) this.#perform(this.#election.tick(now));
    if (this.#service !== undefined && now >= this.#service.nextTickAt) this.#act(this.#service.tick(now));
    this.#plan();
  }
}
