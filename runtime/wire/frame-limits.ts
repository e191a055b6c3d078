/**
 * What a transport's frames leave of the limits: nothing is decided in a turn, or asked, that no frame has room for.
 *
 * A server says what it takes (`max_payload`), and one that comes back may take less. A turn, an answer or a call that is larger
 * is refused with `too-large` where it arises, with nothing done, instead of when it is sent.
 */
import { SkerryError } from '../../core/errors.ts';
import { type GivenLimits, type Limits, limitsOf } from '../../core/limits.ts';
import type { Environment } from '../environment.ts';
import { frameBytesMin, type Transport } from '../transport.ts';
import { envelopeOverheadBytes } from './codec.ts';

type Frames = Pick<Transport, 'frameBytesMax'>;

/** Throws `invalid-definition` for limits that the transport cannot keep. */
export function checkFrames({ messageBytesMax }: Limits, { frameBytesMax }: Frames): void {
  if (messageBytesMax + envelopeOverheadBytes <= frameBytesMax) return;
  throw new SkerryError(
    'invalid-definition',
    `messageBytesMax (${messageBytesMax}) is too much for this transport: with its envelope of up to ${envelopeOverheadBytes} bytes a message must fit into a frame of ${frameBytesMax}`,
  );
}

/**
 * The limits over a transport whose frames may become smaller: `messageBytesMax` is at any moment what fits into one. Throws
 * `invalid-definition` for one that was given and does not fit, and for a server that takes next to nothing; the default is lowered, and that is said.
 */
export function limitsOver(transport: Frames, given: GivenLimits | undefined, { log }: Environment): Limits {
  const limits = limitsOf(given);
  const { frameBytesMax } = transport;
  if (given?.messageBytesMax !== undefined) checkFrames(limits, transport);
  if (frameBytesMax < frameBytesMin)
    throw new SkerryError(
      'invalid-definition',
      `NATS takes frames of ${frameBytesMax} bytes (max_payload): at least ${frameBytesMin} are needed`,
    );
  const over = Object.defineProperty({ ...limits }, 'messageBytesMax', {
    get: () => Math.min(limits.messageBytesMax, transport.frameBytesMax - envelopeOverheadBytes),
    enumerable: true,
  });
  if (over.messageBytesMax < limits.messageBytesMax)
    log.warn(
      { messageBytesMax: over.messageBytesMax, frameBytesMax },
      'NATS takes smaller frames than the default limits need (max_payload): messageBytesMax is lowered',
    );
  return over;
}
