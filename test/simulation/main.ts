import { runSeed } from './scenario.ts';
const [,, from='1', to=from, tr] = process.argv;
const t0=performance.now(); let turns=0, ev=0, n=0; const f:Record<string,number>={};
for (let s=Number(from); s<=Number(to); s++){ const r= await runSeed(s, tr? console.log: undefined); n++; if (process.env.EV) console.log(s, r.events, r.turns); turns+=r.turns; ev+=r.events; for (const [k,v] of Object.entries(r.faults)) f[k]=(f[k]??0)+v;
 for (const v of r.violations.slice(0,3)) console.log(s, v.promise, v.atMs, v.text.slice(0,400)); }
console.log(n, 'seeds', (n/((performance.now()-t0)/1000)).toFixed(1),'/s', turns,'turns', ev,'events', JSON.stringify(f));
