/**
 * agreed(): what a hub's behaviour does about an agreement. `hub.ts` decides when each handler runs.
 */
import type { Agreement, AnyAgreement, Breach, OpenAgreement, Outcome, PartyMap } from './agreement.ts';
import { type Cardinality, holdNeededMs, type Party } from './agreement.ts';
import type { AnyHandler, Behaviour, Turn } from './behaviour.ts';
import { type AnyEntity, typeIn } from './entity.ts';
import { SkerryError } from './errors.ts';
import type { Limits } from './limits.ts';
import { callable, checkOptions } from './options.ts';

export interface AgreementHandlers<Contract extends AnyEntity, Name extends string, Roles extends PartyMap> {
  /**
   * Runs in the commit that decides. A hub that is a party itself holds its part in the turn that agrees, and settles it here, by
   * ordinary code.
   */
  readonly decided: (turn: Turn<Contract>, outcome: Outcome<Name, Roles>) => void | undefined;
  /** Runs for each party that was to be confirmed and is not. The agreement shows as broken until `turn.resolve`. */
  readonly broken: (turn: Turn<Contract>, breach: Breach<Name, Roles>) => void | undefined;
  /** Runs when every party has heard the decision, and nothing is broken. */
  readonly settled?: (turn: Turn<Contract>, of: OpenAgreement<Name>) => void | undefined;
}

/** An agreement with its hub's handlers, as `agreed` makes it. */
export interface AgreedWith {
  /** The type whose turns the handlers are. */
  readonly of: string;
  readonly agreement: AnyAgreement;
  readonly handlers: {
    readonly decided: AnyHandler;
    readonly broken: AnyHandler;
    readonly settled: AnyHandler | undefined;
  };
}

/** Register an agreement with the behaviour of its hub, with what the hub does when it is decided, broken and settled. */
export function agreed<Contract extends AnyEntity, Name extends string, Roles extends PartyMap>(
  contract: Contract,
  of: Agreement<Name, Roles>,
  handlers: AgreementHandlers<Contract, Name, Roles>,
): AgreedWith {
  checkOptions(`agreed('${of?.name}')`, handlers, { decided: callable, broken: callable, settled: callable });
  for (const name of ['decided', 'broken'] as const)
    if (handlers[name] === undefined)
      throw new SkerryError(
        'invalid-definition',
        `agreed('${of.name}') lacks ${name}: a hub must say what it does then`,
      );
  const { decided, broken, settled } = handlers;
  return { of: typeIn(contract), agreement: of, handlers: { decided, broken, settled } };
}

/** A party that cannot hold for as long as its agreement may take, under these limits, is one that never agrees. */
export function checkHolds({ contract, agreements }: Behaviour, limits: Limits): void {
  // A behaviour of an earlier copy of this package has none.
  for (const { agreement } of agreements?.values() ?? [])
    for (const [role, party] of Object.entries<Party<Cardinality, unknown, unknown>>(agreement.parties)) {
      const holdMs = party.holdMs ?? limits.holdMs;
      const neededMs = holdNeededMs(agreement.decideWithinMs, limits);
      if (holdMs < neededMs)
        throw new SkerryError(
          'invalid-definition',
          `The party '${role}' of the agreement '${agreement.name}' of '${contract.type}' holds for ${holdMs} ms; it needs ${neededMs}: decideWithinMs, twice skewMaxMs, and wordMs`,
        );
    }
}
