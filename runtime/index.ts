/**
 * The public entry of the runtime: start a cluster, talk to it, look inside.
 */
export type { Activity } from '../core/activity.ts';
export type { DeadLetter, HeldOperation, HistoryItem, OutboxRow, PendingEffect } from '../core/record.ts';
export type { Period, Timer } from '../core/timer.ts';
export type { View as PlacementView, WorkerEntry } from '../placement/view.ts';
export { type Inspection, Inspector } from './admin/inspector.ts';
export type { Client, NamedCallOptions } from './client/client.ts';
export type { Cluster } from './cluster-handle.ts';
export { type ConnectOptions, connect, type RemoteCluster } from './connect.ts';
export { type EmbeddedCluster, type EmbedOptions, embed } from './embed.ts';
export { type Environment, machineEnvironment } from './environment.ts';
export { type Log, silentLog, standardLog } from './log.ts';
export { openLmdb, openNats, openRedis } from './open.ts';
export { type ServedWorker, type ServeOptions, serve } from './serve.ts';
export type { Store } from './store.ts';
export type { LmdbOptions } from './stores/lmdb/store.ts';
export { MemoryStore } from './stores/memory.ts';
export type { RedisOptions } from './stores/redis/store.ts';
export type { Transport } from './transport.ts';
export { MemoryTransport } from './transports/memory.ts';
export type { NatsOptions, NatsTransport } from './transports/nats/transport.ts';
export type { Authorise } from './worker/authorise.ts';
export type { Worker } from './worker/worker.ts';
