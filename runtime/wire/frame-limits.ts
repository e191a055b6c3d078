/**
 * Limits derived from a transport's largest frame, so that no turn or call makes a message that fits into no frame.
 *
 * A NATS server has a `max_payload`, and after a reconnection another server may have a smaller one. A larger turn, answer or
 * call fails with `too-large` where it is made, without effect, and not when it is sent.
 */
import { SkerryError } from '../../core/errors.ts';
import { type GivenLimits, type Limits, limitsOf } from '../../core/limits.ts';
import type { Environment } from '../environment.ts';
import { frameBytesMin, type Transport } from '../transport.ts';
import { envelopeOverheadBytes } from './codec.ts';

type Frames = Pick<Transport, 'frameBytesMax'>;

/** Throws `invalid-definition` for a `messageBytesMax` that does not fit into the transport's frames. */
export function checkFrames({ messageBytesMax }: Limits, { frameBytesMax }: Frames): void {
  if (messageBytesMax + envelopeOverheadBytes <= frameBytesMax) return;
  throw new SkerryError(
    'invalid-definition',
    `messageBytesMax (${messageBytesMax}) is too large for this transport: a message and its envelope of up to ${envelopeOverheadBytes} bytes must fit into a frame of ${frameBytesMax}`,
  );
}

/**
 * The limits over a transport whose frames may shrink: `messageBytesMax` always returns what fits into a frame now. A default
 * that does not fit is lowered and logged. Throws `invalid-definition` for a given one that does not fit, and for frames
 * below `frameBytesMin`.
 */
export function limitsOver(transport: Frames, given: GivenLimits | undefined, { log }: Environment): Limits {
  const limits = limitsOf(given);
  const { frameBytesMax } = transport;
  if (given?.messageBytesMax !== undefined) checkFrames(limits, transport);
  if (frameBytesMax < frameBytesMin)
    throw new SkerryError(
      'invalid-definition',
      `NATS accepts frames of ${frameBytesMax} bytes (max_payload); at least ${frameBytesMin} are needed`,
    );
  const over = Object.defineProperty({ ...limits }, 'messageBytesMax', {
    get: () => Math.min(limits.messageBytesMax, transport.frameBytesMax - envelopeOverheadBytes),
    enumerable: true,
  });
  if (over.messageBytesMax < limits.messageBytesMax)
    log.warn(
      { messageBytesMax: over.messageBytesMax, frameBytesMax },
      'NATS accepts smaller frames than the default limits need (max_payload): messageBytesMax is lowered',
    );
  return over;
}
