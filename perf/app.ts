/** The app that a cluster hosts to be measured from outside: `skerry worker …/perf/app.js`, then `skerry perf … --attach`. */
import { alarm, counter, echo, listener, order, spreader, stock, ten, wide } from './entities.ts';

export default [echo, counter, wide, listener, spreader, stock, order, alarm, ten];
