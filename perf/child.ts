/** A process of a measurement: a worker, a load generator, or the other side of a floor; the first word says which. */

import { Peer, parentLine } from './processes/process-rpc.ts';
import { newDuties } from './processes/roles.ts';

const [kind = '', name = ''] = process.argv.slice(2);
const line = parentLine();
new Peer(line, newDuties(kind, name));
// Whoever started it is gone: nobody waits for anything here.
void line.gone.then(() => process.exit(0));
