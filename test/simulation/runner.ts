/** The child process of a batch: runs the seeds that it is sent, one at a time, and sends back their reports. */
import { runSeed } from './scenario.ts';

process.on('message', (seed: number) => {
  runSeed(seed).then(
    (report) => process.send?.({ report }),
    (error: unknown) => process.send?.({ seed, error: String(error instanceof Error ? error.stack : error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ isReady: true });
