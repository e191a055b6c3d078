/** Sends and receives control messages. Each is one frame; a frame that cannot be read is dropped. */
import type { Environment } from '../environment.ts';
import type { Transport } from '../transport.ts';
import { type ControlMessage, decodeControl, encodeControl } from '../wire/control-messages.ts';

export type Heard = ReturnType<typeof decodeControl>;

interface Reach {
  readonly transport: Transport;
  readonly environment: Environment;
}

/** Subscribes to the control messages of a subject. Returns a function that ends it. The first unreadable frame is logged. */
export function listenForControl(
  { transport, environment }: Reach,
  subject: string,
  receive: (message: Heard) => void,
): () => void {
  let isLogged = false;
  return transport.listen(subject, (bytes) => {
    let message: Heard;
    try {
      message = decodeControl(bytes);
    } catch (error) {
      if (!isLogged)
        environment.log.warn(
          { subject, error: String(error) },
          'dropped a control message that cannot be decoded; further ones are not logged',
        );
      isLogged = true;
      return;
    }
    receive(message);
  });
}

/** Sends a control message. Returns false, and logs an error, if it is larger than a frame. */
export function sendControl({ transport, environment }: Reach, subject: string, message: ControlMessage): boolean {
  const bytes = encodeControl(message, environment.now());
  const { frameBytesMax } = transport;
  if (bytes.length <= frameBytesMax) {
    transport.send(subject, bytes);
    return true;
  }
  environment.log.error(
    { subject, kind: message.kind, bytes: bytes.length, frameBytesMax },
    'dropped a control message that does not fit into a frame: a view has no room for so many workers and pins',
  );
  return false;
}
