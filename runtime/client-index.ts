/**
 * The public entry of a client: what calls a cluster and hosts nothing. It loads no store, and NATS only when it connects.
 */
export type { Client, NamedCallOptions } from './client/client.ts';
export type { Cluster } from './cluster-handle.ts';
export { type ConnectOptions, connect, type RemoteCluster } from './connect.ts';
