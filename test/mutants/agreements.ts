/** Mutants of agreements: what is decided, who hears it, and when it is over (P13). */
import type { Mutant } from './list.ts';

const core = { promise: 'P13', tests: ['core/agreement'] } as const;

export const agreementMutants: readonly Mutant[] = [
  {
    promise: 'P13',
    tests: ['entity/turns-proof'],
    name: 'a hub that asks what became of its confirm is told so before it has the news',
    file: 'runtime/entity/turns.ts',
    find: '    if (isProcessed && through < number) return;\n',
    replace: '',
  },
  {
    ...core,
    name: 'an agreement confirms a hold that may end before the word arrives',
    file: 'core/hub.ts',
    find: 'return now + environment.limits.skewMaxMs + environment.limits.wordMs;',
    replace: 'return now;',
  },
  {
    promise: 'P13',
    tests: ['entity/agreements'],
    name: 'history forgets what a turn did to agreements',
    file: 'runtime/entity/record-format.ts',
    find: '  else if (item?.agreements !== undefined) writeRow(packer, agreementHistory, item);\n',
    replace: '',
  },
  {
    promise: 'P13',
    tests: ['cli/agreement-rows'],
    name: 'a broken agreement that is decided is shown as confirmed',
    file: 'core/agreement-part.ts',
    find: "  if (isBroken(part)) return 'broken';\n",
    replace: '',
  },
  {
    ...core,
    name: 'who is not needed hears nothing of the decision',
    file: 'core/hub.ts',
    find: "if (party.word !== 'none' || !mayHold(party)) return party;",
    replace:
      "if (party.word !== 'none' || !mayHold(party) || (decision === 'confirm' && !winners.has(index))) return party;",
  },
  {
    ...core,
    name: 'an agreement is decided again',
    file: 'core/hub.ts',
    find: "if (part.decision === 'none') {\n    if (party.status === 'open')",
    replace: "if (part.decision !== 'confirm') {\n    if (party.status === 'open')",
  },
  {
    ...core,
    name: 'a breach is not told',
    file: 'core/hub.ts',
    find: "if (party.breach === 'none' || party.isTold) return party;",
    replace: "if (party.breach !== 'lapsed' || !party.isTold) return { ...party, isTold: true };",
  },
  {
    ...core,
    name: 'a breach is told without what its party had accepted',
    file: 'core/hub.ts',
    find: 'const [, output] = scope.environment.decode(party.answer)',
    replace: 'const [output] = scope.environment.decode(party.answer)',
  },
  {
    ...core,
    name: 'an agreement is settled before every party has heard',
    file: 'core/agreement-part.ts',
    find: "return part.decision !== 'none' && !part.isUntold && !isBroken(part) && isAllHeard(part);",
    replace: "return part.decision !== 'none' && !part.isUntold && !isBroken(part);",
  },
  {
    ...core,
    name: 'a party acknowledges a confirm that it could not keep',
    file: 'core/word.ts',
    find: 'return Math.min(inbound.through, inbound.withheld.from - 1);',
    replace: 'return inbound.through;',
  },
  {
    ...core,
    name: 'anybody settles what an agreement holds',
    file: 'core/perform.ts',
    find: "sender === '' || !isOfAgreement(content.hold) || isMadeBy(content.hold, sender)",
    replace: "sender === '' || sender !== '' || isMadeBy(content.hold, sender)",
  },
  {
    ...core,
    name: 'an agreement confirms past its deadline',
    file: 'core/hub.ts',
    find: "else if (scope.now >= part.decideBy) decide(scope, part, 'cancel', 'deadline');\n  else if (verdict",
    replace:
      "else if (scope.now >= part.decideBy && verdict === 'wait') decide(scope, part, 'cancel', 'deadline');\n  else if (verdict",
  },
];
