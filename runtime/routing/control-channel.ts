/** Signals on their way out, where each is one frame or none, and in, where what is none is dropped. */
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { type ControlMessage, decodeControl, encodeControl } from '../wire/control-messages.ts';

export type Heard = ReturnType<typeof decodeControl>;

interface Reach {
  readonly transport: Transport;
  readonly environment: Environment;
}

/** Have the signals for a subject handed on; the function that comes back ends that. What cannot be read is said once. */
export function listenForControl(
  { transport, environment }: Reach,
  subject: string,
  receive: (signal: Heard) => void,
): () => void {
  let hasSaid = false;
  return transport.listen(subject, (bytes) => {
    let signal: Heard;
    try {
      signal = decodeControl(bytes);
    } catch (error) {
      if (!hasSaid)
        environment.log.warn(
          { subject, error: String(error) },
          'a signal that cannot be read was dropped; further ones are not told of',
        );
      hasSaid = true;
      return;
    }
    receive(signal);
  });
}

/** False: no frame has room for it. That is said, and ends nobody's process. */
export function sendControl({ transport, environment }: Reach, subject: string, signal: ControlMessage): boolean {
  const bytes = encodeControl(signal, environment.now());
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
