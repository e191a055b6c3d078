/** Asking a running app through its control socket: one connection, one request, one answer. */
import { connect } from 'node:net';
import type { CallEffect } from '../../core/errors.ts';
import { controlPath, isFolderSafe, requestLengthMax } from './control.ts';
import { CliError, isFailureCode } from './failure.ts';
import type { AppRequest, Hello } from './requests.ts';

/** Characters of an answer; an output of the largest size, as base64 and escaped, fits. */
const answerLengthMax = 16_777_216;

/** The app's answer; undefined: no app runs on that folder. Throws what the app answered with. */
export async function askApp(folder: string, request: AppRequest): Promise<{ readonly answer: unknown } | undefined> {
  const path = controlPath(folder);
  if (!isFolderSafe(path)) return undefined;
  const line = JSON.stringify(request);
  if (line.length > requestLengthMax)
    throw new CliError(
      'too-large',
      `The request has ${line.length} characters; a running app accepts ${requestLengthMax}`,
    );
  const text = await exchange(path, line, request.ask === 'hello' ? 'none' : 'unknown');
  return text === undefined ? undefined : readAnswer(text);
}

/** Whether an app runs on that folder, and which; also undefined when it cannot be asked. */
export async function greet(folder: string): Promise<Hello | undefined> {
  const reply = await askApp(folder, { ask: 'hello' });
  return reply?.answer as Hello | undefined;
}

/** One line there, one line back; undefined: nobody listens. */
function exchange(path: string, line: string, effect: CallEffect): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let isConnected = false;
    let text = '';
    const lost = (reason: string) =>
      reject(
        new CliError('closed', `The running app ${reason} before it answered`, {
          effect,
          advice: 'check with skerry get whether it happened; skerry doctor shows whether the app runs',
        }),
      );
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      isConnected = true;
      socket.write(`${line}\n`);
    });
    socket.on('data', (chunk) => {
      text += String(chunk);
      if (text.length <= answerLengthMax) return;
      socket.destroy();
      lost(`answered more than ${answerLengthMax} characters`);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isConnected) return lost('went away');
      // A socket without a process behind it is left from one that was killed.
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return resolve(undefined);
      reject(new CliError('store-in-use', `The running app cannot be reached: ${error.message}`));
    });
    socket.on('data', () => {
      const end = text.indexOf('\n');
      if (end < 0) return;
      socket.end();
      resolve(text.slice(0, end));
    });
    socket.on('close', () => lost('went away'));
  });
}

function readAnswer(text: string): { readonly answer: unknown } {
  const reply: unknown = JSON.parse(text);
  if (typeof reply === 'object' && reply !== null && 'answer' in reply) return { answer: reply.answer };
  const error = typeof reply === 'object' && reply !== null && 'error' in reply ? reply.error : undefined;
  const { code, message, advice, effect, detail } = (error ?? {}) as Record<string, unknown>;
  throw new CliError(isFailureCode(code) ? code : 'failed', String(message), {
    effect: effect === 'unknown' ? 'unknown' : 'none',
    detail,
    ...(typeof advice === 'string' ? { advice } : {}),
  });
}
