/** What an enumeration shows of a situation: the world as the checks of an application see it. */
import type { DeepReadonly } from '../../core/behaviour.ts';
import { type ActivityOf, type AnyEntity, type Hold, type StateOf, typeIn } from '../../core/entity.ts';
import { addressOf } from '../../core/message.ts';
import { decode } from '../wire/codec.ts';
import type { ScriptedCall } from './client-script.ts';
import type { EntityState } from './entity-states.ts';
import type { Situation, Steps } from './steps.ts';

/** A hold of an entity in a situation. */
export interface WorldHold {
  readonly hold: Hold;
  readonly input: unknown;
  /** Time until it lapses, ms; 0 for one that has lapsed and is remembered for a late confirm. */
  readonly leftMs: number;
}

/** A call of a client in a situation. */
export interface WorldCall {
  readonly client: string;
  readonly to: string;
  readonly operation: string;
  /** The status of its answer, and what came with it: output, reason or code; `undefined`: it has none yet. */
  readonly answer: { readonly status: string; readonly value: unknown } | undefined;
}

/** One situation, as the checks of an application see it. Its values are shared: read them only. */
export interface World {
  /** Whether nothing more can happen. */
  readonly isOver: boolean;
  /** The state of an entity. */
  state<Contract extends AnyEntity>(contract: Contract, key: string): DeepReadonly<StateOf<Contract>>;
  /** The application's state about a partner; `undefined` if there is none. */
  activity<Contract extends AnyEntity, Of extends AnyEntity>(
    contract: Contract,
    key: string,
    partner: Of,
    partnerKey: string,
  ): DeepReadonly<ActivityOf<Contract, Of['type']>> | undefined;
  /** The tentative operations that an entity has accepted and that are neither confirmed nor cancelled, and lapsed ones. */
  holds(contract: AnyEntity, key: string): readonly WorldHold[];
  /** Names of the timers that are set. */
  timers(contract: AnyEntity, key: string): readonly string[];
  /** Messages that have been sent and not processed: of each stream in order. */
  readonly messages: readonly {
    readonly from: string;
    readonly to: string;
    readonly kind: string;
    readonly operation: string;
  }[];
  /** The clients' calls, in the order in which the clients were given. */
  readonly calls: readonly WorldCall[];
}

export class SituationWorld implements World {
  readonly isOver: boolean;
  readonly #situation: Situation;
  readonly #steps: Steps;
  readonly #calls: readonly ScriptedCall[];

  constructor(situation: Situation, steps: Steps, calls: readonly ScriptedCall[], isOver: boolean) {
    this.#situation = situation;
    this.#steps = steps;
    this.#calls = calls;
    this.isOver = isOver;
  }

  #of(contract: AnyEntity, key: string): EntityState {
    return this.#steps.stateOf(this.#situation, addressOf(typeIn(contract), key));
  }

  state(contract: AnyEntity, key: string): never {
    return this.#of(contract, key).record.state.value as never;
  }

  activity(contract: AnyEntity, key: string, partner: AnyEntity, partnerKey: string): undefined {
    const { record } = this.#of(contract, key);
    return record.activities.get(addressOf(typeIn(partner), partnerKey))?.application.value as undefined;
  }

  holds(contract: AnyEntity, key: string): readonly WorldHold[] {
    const { record, address } = this.#of(contract, key);
    return [...record.holds.values()].map(({ id, operation, payload, until, isLapsed }) => ({
      hold: { entity: address, operation, id },
      input: payload.length === 0 ? undefined : decode(payload),
      leftMs: isLapsed ? 0 : until - this.#situation.now,
    }));
  }

  timers(contract: AnyEntity, key: string): readonly string[] {
    return [...this.#of(contract, key).record.timers.keys()];
  }

  get messages(): World['messages'] {
    return this.#steps
      .underway(this.#situation)
      .map(({ from, to, message: { content } }) => ({ from, to, kind: content.kind, operation: content.operation }));
  }

  get calls(): readonly WorldCall[] {
    return this.#calls.map(({ client, to, content: { operation } }, index) => {
      const row = this.#steps.answer(this.#situation, index);
      return { client, to, operation, answer: row === undefined ? undefined : { status: row[0], value: row[1] } };
    });
  }
}
