/**
 * The transport over NATS: core publish and subscribe, one connection per process.
 *
 *     dial ──▶ connected ──(closed, or silent)──▶ lost ──pause, next server──▶ dial …
 *
 * Owns the connection and its recovery. Each attempt is a new connection, with the library's own reconnection turned off, so
 * that frames and events of an abandoned connection cannot mix with those of its successor.
 *
 * Absent listeners are detected by frames with a reply subject: without a listener, the server answers 503 to it at once. The
 * reply subject contains the frame's subject, so nothing has to be remembered. Such a frame costs 10 to 20 per cent more, so
 * only the first one to each subject in a while is one. After a restart of NATS, a process that has not reconnected counts
 * as absent.
 *
 * Invariants:
 * - NT1 Frames sent before a connection was lost are not sent again. Frames sent while there is no connection are dropped.
 * - NT2 A lost connection is retried without limit, whatever the reason of a failure.
 * - NT3 No frame is sent to a subject with a space, a line end or a wildcard, because the protocol would read it as a command.
 * - NT4 A permission that the server denies is reported by `ready`, or else logged. The text never advises giving this login
 *   more rights, because it is usually the wrong login.
 */
import { isSkerryError, SkerryError } from '../../../core/errors.ts';
import { type Environment, machineEnvironment } from '../../environment.ts';
import { standardLog } from '../../log.ts';
import { frameBytesMin, type Transport, TransportAway } from '../../transport.ts';
import { dial, type Msg, type NatsConnection, type NatsError, type Status, type Subscription } from './connection.ts';
import { isSubject, type NatsOptions, type NatsPlan, planOf } from './options.ts';
import { Outflow } from './outflow.ts';
import { NatsRefusals } from './refusals.ts';
import { ServerRing } from './servers.ts';

export type { NatsOptions };

export interface NatsTransport extends Transport {
  ready(sendTo?: string): Promise<void>;
  readonly onRefused: NonNullable<Transport['onRefused']>;
  /** Frames that were dropped, for want of a connection or of room. */
  readonly droppedCount: number;
}

interface Listening {
  readonly subject: string;
  readonly receive: (frame: Uint8Array, subject: string) => void;
  subscription: Subscription | undefined;
  refusal: string | undefined;
}

/** How often the server is looked at: silent for four looks, it is gone. */
const lookMs = 1_500;
const pauseMs = { first: 50, most: 2_000 };
const closeMs = 1_000;
/** Of a frame on the wire, besides its bytes and subjects. */
const overheadBytes = 32;
const nothing = new Uint8Array(0);

/** See `openNats` in open.ts, which loads this file. */
export async function openNats(
  options: NatsOptions,
  environment: Environment = machineEnvironment(standardLog()),
): Promise<NatsTransport> {
  const plan = planOf(options);
  const ring = new ServerRing(plan.servers, environment.random());
  const failures: string[] = [];
  let isAway = true;
  for (let tries = ring.size; tries > 0; tries--) {
    try {
      return new NatsLink({ plan, ring, environment }, await dial(plan, ring, environment));
    } catch (error) {
      if (!isSkerryError(error, 'transport-failed')) throw error;
      failures.push(error.message);
      isAway &&= error instanceof TransportAway;
    }
  }
  if (isAway) throw new TransportAway(failures.join('; '));
  throw new SkerryError('transport-failed', failures.join('; '));
}

interface LinkParts {
  readonly plan: NatsPlan;
  readonly ring: ServerRing;
  readonly environment: Environment;
}

class NatsLink implements NatsTransport {
  readonly #parts: LinkParts;
  readonly #inbox: string;
  readonly #listenings = new Set<Listening>();
  readonly #absentTellers = new Set<(subject: string) => void>();
  readonly #restoredTellers = new Set<() => void>();
  /** Subjects of which it was asked in this while whether somebody listens. */
  readonly #asked = new Set<string>();
  readonly #refusals: NatsRefusals;
  #connection: NatsConnection | undefined;
  #outflow: Outflow;
  #redialing: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** Ends the wait for what comes next, be it a look or a dial. */
  #wake: () => void = () => undefined;
  #stopLooking: () => void = () => undefined;
  #isDropping = false;
  readonly onRefused: NatsTransport['onRefused'] = (tell) => this.#refusals.onRefused(tell);
  #frameBytesMax: number;
  droppedCount = 0;

  constructor(parts: LinkParts, connection: NatsConnection) {
    this.#parts = parts;
    this.#refusals = new NatsRefusals(parts.environment.log);
    this.#inbox = `${parts.plan.inboxPrefix}.${parts.environment.newId()}`;
    this.#outflow = new Outflow(parts.plan.bufferBytesMax);
    this.#frameBytesMax = Math.min(parts.plan.bufferBytesMax, connection.info?.max_payload ?? 0);
    this.#adopt(connection);
  }

  /** The least that any server so far allowed: what was accepted as small enough must stay so. */
  get frameBytesMax(): number {
    const serverMax = Math.max(frameBytesMin, this.#connection?.info?.max_payload ?? this.#frameBytesMax);
    if (serverMax < this.#frameBytesMax) {
      this.#frameBytesMax = serverMax;
      this.#parts.environment.log.error(
        { frameBytesMax: serverMax },
        'NATS accepts smaller frames than before (max_payload): messageBytesMax is lowered; larger messages are refused with too-large from now on',
      );
    }
    return this.#frameBytesMax;
  }

  listen(subject: string, receive: Listening['receive']): () => void {
    if (!isSubject(subject.replace(/\.\*$/, '')))
      throw new SkerryError('invalid-definition', `'${subject}' is not a subject to listen to`);
    const listening: Listening = { subject, receive, subscription: undefined, refusal: undefined };
    this.#listenings.add(listening);
    if (this.#connection !== undefined && this.#closing === undefined) this.#subscribe(this.#connection, listening);
    return () => {
      this.#listenings.delete(listening);
      listening.subscription?.unsubscribe();
    };
  }

  send(subject: string, frame: Uint8Array): void {
    const connection = this.#connection;
    if (frame.length > this.frameBytesMax)
      throw new SkerryError(
        'too-large',
        `The frame takes ${frame.length} bytes; frameBytesMax is ${this.frameBytesMax} (max_payload of the server)`,
      );
    if (this.#closing !== undefined) return;
    if (connection === undefined || !isSubject(subject)) {
      this.droppedCount += 1;
      return;
    }
    if (!this.#outflow.admit(frame.length + 2 * subject.length + this.#inbox.length + overheadBytes))
      return this.#drop();
    const options = this.#isToAskAbout(subject) ? { reply: `${this.#inbox}.${subject}` } : undefined;
    try {
      // A copy, since the library keeps what it is given until the end of the tick (X2).
      connection.publish(subject, new Uint8Array(frame), options);
    } catch {
      // It is closed, and we are about to be told; at most once is what was promised (X1).
      this.droppedCount += 1;
    }
    if (this.#outflow.isToAsk) this.#ask(connection);
  }

  onAbsent(tell: (subject: string) => void): () => void {
    this.#absentTellers.add(tell);
    return () => void this.#absentTellers.delete(tell);
  }

  onRestored(tell: () => void): () => void {
    this.#restoredTellers.add(tell);
    return () => void this.#restoredTellers.delete(tell);
  }

  async ready(sendTo = ''): Promise<void> {
    let unsendable: string | undefined;
    this.#refusals.ask(sendTo);
    try {
      await this.#known(sendTo);
    } finally {
      unsendable = this.#refusals.answerOf(sendTo);
    }
    const refusal = [...this.#listenings].find((one) => one.refusal !== undefined)?.refusal ?? unsendable;
    if (refusal !== undefined) throw new SkerryError('transport-failed', refusal);
  }

  async #known(sendTo: string): Promise<void> {
    for (;;) {
      if (this.#closing !== undefined) throw new SkerryError('closed', 'The connection to NATS is closed');
      if (sendTo !== '') this.send(sendTo, nothing);
      const connection = this.#connection;
      if (connection === undefined) await this.#redialing;
      else if (await this.#isAnswered(connection)) break;
    }
    // What the library read before the answer it may hand out after it.
    await new Promise<void>((resolve) => this.#parts.environment.soon(resolve));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopLooking();
    this.#wake();
    const connection = this.#connection;
    if (connection === undefined) return;
    // What was sent last, a farewell perhaps, shall still leave.
    await Promise.race([connection.flush(), connection.closed(), this.#pause(closeMs)]).catch(() => undefined);
    this.#wake();
    await connection.close();
    this.#connection = undefined;
  }

  #isToAskAbout(subject: string): boolean {
    const { askEveryMs } = this.#parts.plan;
    if (askEveryMs === 0) return true;
    if (this.#asked.has(subject)) return false;
    if (this.#asked.size === 0) this.#parts.environment.after(askEveryMs, () => this.#asked.clear());
    this.#asked.add(subject);
    return true;
  }

  #drop(): void {
    this.droppedCount += 1;
    if (this.#isDropping) return;
    this.#isDropping = true;
    this.#parts.environment.log.warn(
      { bufferBytesMax: this.#parts.plan.bufferBytesMax, droppedCount: this.droppedCount },
      'NATS accepts less than this process sends: frames are dropped, and their envelopes are sent again later',
    );
  }

  #adopt(connection: NatsConnection): void {
    this.#connection = connection;
    this.#outflow = new Outflow(this.#parts.plan.bufferBytesMax);
    this.#isDropping = false;
    this.#parts.ring.learn(connection.info?.connect_urls ?? []);
    connection.subscribe(`${this.#inbox}.>`, {
      callback: (error, message) => {
        if (error !== null) this.#refused(error, false);
        else if (this.#isCurrent(connection)) this.#answeredAbout(message);
      },
    });
    for (const listening of this.#listenings) this.#subscribe(connection, listening);
    void this.#watch(connection);
    void connection.closed().then((error) => this.#lost(connection, error instanceof Error ? error : undefined));
    this.#look(connection);
  }

  #isCurrent(connection: NatsConnection): boolean {
    return this.#connection === connection && this.#closing === undefined;
  }

  #subscribe(connection: NatsConnection, listening: Listening): void {
    listening.refusal = undefined;
    listening.subscription = connection.subscribe(listening.subject, {
      callback: (error, message) => {
        if (error !== null) listening.refusal = this.#refused(error, true);
        // A copy, since a slice would keep all that was read with it in memory.
        else if (this.#isCurrent(connection))
          this.#hand(() => listening.receive(new Uint8Array(message.data), message.subject));
      },
    });
  }

  /** Errors of a handler are bugs that must show; here they would only end the reading of this connection. */
  #hand(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#parts.environment.soon(() => {
        throw error;
      });
    }
  }

  #answeredAbout(message: Msg): void {
    if (message.headers?.code !== 503) return;
    const subject = message.subject.slice(this.#inbox.length + 1);
    this.#hand(() => {
      for (const tell of [...this.#absentTellers]) tell(subject);
    });
  }

  /** Ask for a sign of life, which comes when the server has read everything up to here. */
  #ask(connection: NatsConnection): void {
    const outflow = this.#outflow;
    outflow.ask();
    connection.flush().then(
      () => {
        outflow.answered();
        if (outflow.bytes * 2 < this.#parts.plan.bufferBytesMax) this.#isDropping = false;
        if (this.#isCurrent(connection) && outflow.isToAsk) this.#ask(connection);
      },
      () => undefined,
    );
  }

  async #isAnswered(connection: NatsConnection): Promise<boolean> {
    await Promise.race([connection.flush(), connection.closed()]).catch(() => undefined);
    return this.#connection === connection && !connection.isClosed();
  }

  #look(connection: NatsConnection): void {
    this.#stopLooking = this.#parts.environment.after(lookMs, () => {
      const next = this.#outflow.look();
      if (next === 'gone') {
        this.#lost(connection, new Error('no sign of life from the server'));
        void connection.close();
        return;
      }
      if (next === 'ask') this.#ask(connection);
      this.#look(connection);
    });
  }

  #lost(connection: NatsConnection, error: Error | undefined): void {
    if (!this.#isCurrent(connection)) return;
    this.#stopLooking();
    this.#connection = undefined;
    for (const listening of this.#listenings) listening.subscription = undefined;
    this.#parts.environment.log.warn(
      { server: connection.getServer(), reason: error?.message ?? 'the server closed it' },
      'the connection to NATS is lost; reconnecting',
    );
    this.#redialing = this.#redial();
  }

  async #redial(): Promise<void> {
    const { plan, ring, environment } = this.#parts;
    const lostAt = environment.steady();
    for (let tries = 0; ; tries++) {
      const longest = Math.min(pauseMs.most, pauseMs.first * 2 ** Math.min(tries, 10));
      await this.#pause(longest * (0.5 + environment.random() / 2));
      if (this.#closing !== undefined) return;
      try {
        const connection = await dial(plan, ring, environment);
        const takes = connection.info?.max_payload ?? 0;
        const isTooSmall = takes < Math.min(frameBytesMin, this.#frameBytesMax);
        if (this.#closing !== undefined || isTooSmall) await connection.close();
        if (this.#closing !== undefined) return;
        // What it takes would be the most for good.
        if (isTooSmall)
          throw new TransportAway(
            `it accepts frames of ${takes} bytes (max_payload); at least ${frameBytesMin} are needed`,
          );
        this.#refusals.admitted();
        this.#adopt(connection);
        void this.#restored(connection);
        return;
      } catch (error) {
        this.#hand(() => this.#refusals.notAdmitted(error, ring.size, environment.steady() - lostAt));
      }
    }
  }

  async #restored(connection: NatsConnection): Promise<void> {
    if (!(await this.#isAnswered(connection)) || !this.#isCurrent(connection)) return;
    this.#parts.environment.log.warn({ server: connection.getServer() }, 'the connection to NATS is restored');
    this.#hand(() => {
      for (const tell of [...this.#restoredTellers]) tell();
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.environment.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) if (this.#isCurrent(connection)) this.#note(connection, status);
  }

  #note(connection: NatsConnection, status: Status): void {
    const { log } = this.#parts.environment;
    if (status.type === 'update') this.#parts.ring.learn(connection.info?.connect_urls ?? []);
    else if (status.type === 'ldm')
      log.warn(
        { server: connection.getServer() },
        'this NATS server is about to stop; this process then connects to another server',
      );
    else if (status.type === 'error') {
      const { operation, subject } = status.permissionContext ?? {};
      if (operation === 'publish') this.#refusals.publish(subject ?? '');
      else if (operation === undefined) log.error({ code: status.data }, 'NATS reports an error');
    }
  }

  #refused({ permissionContext }: NatsError, isListening: boolean): string {
    return this.#refusals.subscribe(permissionContext?.subject ?? 'a subject', isListening);
  }
}
