/**
 * The control socket of a running app: answers requests of commands of the same user.
 *
 * Owns bounds and order: few connections, one request at a time on each, requests of bounded length, and no reading
 * while one is answered.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { controlPath, isFolderSafe, requestLengthMax } from './control.ts';
import { CliError, failureOf } from './failure.ts';
import { jsonText } from './json.ts';
import { type AppRequest, requestOf } from './requests.ts';

export interface Control {
  /** No new connections. */
  stop(): void;
  /** End the connections, when what they were promised is written. */
  close(): Promise<void>;
}

type Perform = (request: AppRequest) => Promise<unknown>;

const connectionCountMax = 64;
/** A connection that says nothing for this long is ended, ms. */
const silenceMs = 60_000;

/** Serve. The caller holds the data folder's lock, so a socket that is there already is left from a process that is gone. */
export async function serveControl(folder: string, perform: Perform): Promise<Control> {
  const path = controlPath(folder);
  if (process.platform !== 'win32') {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    isFolderSafe(path);
    rmSync(path, { force: true });
  }
  const connections = new Set<Connection>();
  const server = createServer((socket) => {
    const connection = new Connection(socket, perform);
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
  });
  server.maxConnections = connectionCountMax;
  await listen(server, path);
  if (process.platform !== 'win32') chmodSync(path, 0o600);
  return {
    stop: () => void server.close(),
    close: async () => {
      server.close();
      await Promise.all([...connections].map((connection) => connection.end()));
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}

class Connection {
  readonly #socket: Socket;
  readonly #perform: Perform;
  #text = '';
  #underway: Promise<void> | undefined;

  constructor(socket: Socket, perform: Perform) {
    this.#socket = socket;
    this.#perform = perform;
    socket.setEncoding('utf8');
    socket.setTimeout(silenceMs, () => this.#silent());
    // Whoever asked is gone: what was asked goes on, and there is nobody to tell.
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => this.#heard(String(chunk)));
  }

  #silent(): void {
    if (this.#underway === undefined) this.#socket.destroy();
  }

  #heard(chunk: string): void {
    this.#text += chunk;
    this.#next();
  }

  #next(): void {
    if (this.#underway !== undefined) return;
    const end = this.#text.indexOf('\n');
    const length = end < 0 ? this.#text.length : end;
    if (length > requestLengthMax) return this.#refuse();
    if (end < 0) return;
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    this.#socket.pause();
    this.#underway = this.#answer(line).then(() => {
      this.#underway = undefined;
      this.#socket.resume();
      this.#next();
    });
  }

  #refuse(): void {
    const error = failureOf(new CliError('too-large', `A request can have at most ${requestLengthMax} characters`));
    this.#text = '';
    this.#socket.end(`${jsonText({ error })}\n`);
  }

  async #answer(line: string): Promise<void> {
    let reply: object;
    try {
      reply = { answer: (await this.#perform(requestOf(parseLine(line)))) ?? null };
    } catch (error) {
      reply = { error: failureOf(error) };
    }
    if (!this.#socket.destroyed) this.#socket.write(`${jsonText(reply)}\n`);
  }

  async end(): Promise<void> {
    await this.#underway;
    await new Promise<void>((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.end(() => this.#socket.destroy());
    });
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
