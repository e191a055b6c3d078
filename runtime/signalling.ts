/** Signals on their way out: each is one frame, or none. */
import type { Environment } from './environment.ts';
import { encodeSignal, type Signal } from './signals.ts';
import type { Transport } from './transport.ts';

/** False: no frame has room for it. That is said, and ends nobody's process. */
export function sendSignal(
  { transport, environment }: { readonly transport: Transport; readonly environment: Environment },
  subject: string,
  signal: Signal,
): boolean {
  const bytes = encodeSignal(signal);
  const { frameBytesMax } = transport;
  if (bytes.length <= frameBytesMax) {
    transport.send(subject, bytes);
    return true;
  }
  environment.log.error(
    { subject, kind: signal.kind, bytes: bytes.length, frameBytesMax },
    'a signal larger than a frame may be was dropped: nobody hears of workers or pins that a view has no room for',
  );
  return false;
}
