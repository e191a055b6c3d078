/**
 * The runtime's log: structured lines, through pino. The only file that imports it.
 */
import { pino } from 'pino';

export interface Log {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** A log on standard error, so that standard output stays the application's. */
export function standardLog(level: 'info' | 'warn' | 'error' | 'silent' = 'warn'): Log {
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
}

export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
