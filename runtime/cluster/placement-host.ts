/**
 * The host of the placement service in one worker. It drives the election and, while it has the lease, the service, with the
 * clock, the store and control messages. The decisions are in `placement/election.ts` and `placement/service.ts`.
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
  /** The id of this worker's process. */
  readonly id: string;
  /** The latest view known here. */
  readonly view: () => View | undefined;
  readonly publish: (view: View, sent: number) => void;
  /** The name of this worker, for people to read. */
  readonly name: string;
  /** Called when this worker is cut off from the service, which the process `holder` runs. `together`: no longer. */
  readonly apart: (holder: string) => void;
  readonly together: () => void;
  /** Sends to a worker, by its id. */
  readonly sendControl: (id: string, message: ControlMessage) => void;
  /** Sends to the service, wherever it runs. */
  readonly sendToService: (message: ControlMessage) => void;
  /** Subscribes to messages to the service. Returns a function that ends it. */
  readonly listen: () => () => void;
}

const leaseName = 'placement';
/** Duration of the lease by which a cut-off worker makes itself known to the service, ms. */
const apartName = 'apart';
const apartMs = 10_000;
/** Interval at which the service looks for cut-off workers, and the time without one after which a split counts as healed, ms. */
const lookMs = 1_000;
const healedMs = 5_000;
/** Shortest alarm, ms. */
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
  /** The process that runs the service while this worker does not hear it. */
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

  /** Describes a split of the cluster, as far as it is known here; '': none. */
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

  /** Stops the service and gives up its lease, so that another worker gets it at once. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    const { environment, store, id } = this.#parts;
    const wasServing = this.isServing;
    this.#follow(this.#election.resign(environment.steady()));
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

  // ---- messages received

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

  /** A worker's subject has no listener. If this service's ping found that, the worker is removed. */
  workerAbsent(id: string): void {
    this.#serve((service, now) => service.pingAbsent(id, now));
    if (this.#service?.takeMinority() === true) this.#with((now) => this.#election.yield(now));
  }

  /** Handles a message to the service. */
  receive(message: ControlMessage): void {
    switch (message.kind) {
      case 'announce':
        this.#serve((service, now) => service.announced(message.entry, message.sent, now));
        return this.#dismiss(message.entry.id);
      case 'absent':
        return this.#serve((service, now) => service.absent(message.id, message.by, now));
      case 'pong':
        return this.#serve((service, now) => service.ponged(message.id, message.mark, message.sent, now));
      case 'doubt':
        return this.#reassure(message.id, message.number);
      case 'gone':
        return this.#serve((service, now) => service.gone(message.id, now));
      case 'pinned':
        void this.#readPins();
        return;
      default:
        return;
    }
  }

  /** A worker does not hear this service, or only late messages, and asks whether it is alive. */
  #reassure(id: string, number: number): void {
    if (this.#service === undefined) return;
    this.#parts.sendControl(id, { kind: 'present', number, term: this.#service.term, sent: this.#stamp() });
  }

  #stamp(): number {
    const { environment } = this.#parts;
    return this.#stamps.next(environment.now(), environment.steady());
  }

  /** Dismisses a process that announces itself in vain: it was paused while another process took its place. */
  #dismiss(id: string): void {
    if (this.#service?.isOut(id) !== true) return;
    this.#parts.sendControl(id, { kind: 'gone', id, viewVersion: this.#parts.view()?.version ?? 0 });
  }

  // ---- driving

  #with(event: (now: number) => ElectionAction[]): void {
    if (this.#isOver) return;
    this.#follow(event(this.#parts.environment.steady()));
    this.#plan();
  }

  #serve(event: (service: PlacementService, now: number) => ServiceAction[]): void {
    if (this.#isOver || this.#service === undefined) return;
    this.#act(event(this.#service, this.#parts.environment.steady()));
    this.#plan();
  }

  #follow(actions: readonly ElectionAction[]): void {
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
    const { id, sendControl, sendToService } = this.#parts;
    sendControl(id, { kind: 'echo', number });
    if (!this.isServing) sendToService({ kind: 'doubt', id, number });
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

  /** A cut-off worker makes itself known in the store, where the service looks for it. Failed reads are repeated soon. */
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

  /** Logs one line per split, however long it lasts. */
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

  /** Reads the lease: a call in nobody's name and for no time changes nothing. */
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
      // Another worker may have got the lease meanwhile.
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

  /** One read at a time, so that an earlier one cannot overwrite a later one. */
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

  /** Reads the pins at intervals: a process that pins may crash before it notifies the service, or not be heard. */
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
      else this.#parts.sendControl(action.id, { kind: 'ping', mark: action.mark });
    }
  }

  /** One alarm for the election and the service, whichever is due first. */
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
    if (now >= this.#election.nextTickAt) this.#follow(this.#election.tick(now));
    if (this.#service !== undefined && now >= this.#service.nextTickAt) this.#act(this.#service.tick(now));
    if (this.#service?.takeMinority() === true) this.#follow(this.#election.yield(now));
    this.#plan();
  }
}
