/**
 * The public entry of the runtime: start a cluster, talk to it, look inside.
 */
export type { Authorise } from './authorise.ts';
export type { Client } from './client.ts';
export { type Cluster, type EmbedOptions, embed } from './embed.ts';
export { type Environment, machineEnvironment } from './environment.ts';
export { type Inspection, Inspector } from './inspect.ts';
export { type Log, silentLog, standardLog } from './log.ts';
export type { Store } from './store.ts';
export { openLmdb } from './stores/lmdb.ts';
export { MemoryStore } from './stores/memory.ts';
export type { Transport } from './transport.ts';
export { MemoryTransport } from './transports/memory.ts';
export type { Worker } from './worker.ts';
