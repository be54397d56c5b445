// A server block's plugins as one function: each handler gets the rest of the chain as `next`. Built once, when
// the configuration is read. Remembers which plugin threw, for the one catch-all in respond.ts.

import { emptyReply, Rcodes } from "./dns/message.ts";
import { RRClasses, type RRClass } from "./dns/records.ts";
import type { Instance, MaybePromise, Next } from "./plugin.ts";

/** A set-up plugin with its name. */
export interface NamedInstance {
  readonly name: string;
  readonly instance: Instance;
}

export interface Chain {
  readonly ask: Next;
  /** The plugin whose handler threw `error`; "" if none did. */
  blame(error: unknown): string;
}

// Class IN is everybody's; another is only theirs who say so, and nobody mistakes it for IN.
function takesClass({ takesClasses, guardsClasses }: Instance, qclass: RRClass): boolean {
  return guardsClasses === true || takesClasses?.includes(qclass) === true;
}

/** @param instances in execution order. */
export function composeChain(instances: readonly NamedInstance[]): Chain {
  const thrownBy = new WeakMap<object, string>();
  const handlers = instances.filter(({ instance }) => instance.handle !== undefined);
  const last = handlers.at(-1)?.name;
  const unhandled = {
    ...emptyReply(Rcodes.REFUSED, ""),
    unhandled: true,
    error: last === undefined ? "no next plugin found" : `plugin/${last}: no next plugin found`,
  } as const;

  let ask: Next = () => unhandled;
  for (const { name, instance } of [...handlers].reverse()) {
    const { handle } = instance;
    const next = ask;
    if (handle === undefined) continue;
    const tag = (error: unknown): never => {
      if (typeof error === "object" && error !== null && !thrownBy.has(error)) thrownBy.set(error, name);
      throw error;
    };
    ask = (query) => {
      if (query.qclass !== RRClasses.IN && !takesClass(instance, query.qclass)) return next(query);
      try {
        const answer = handle.call(instance, query, next);
        return answer instanceof Promise ? answer.catch(tag) : answer;
      } catch (error) {
        return tag(error);
      }
    };
  }
  return {
    ask,
    blame: (error) => (typeof error === "object" && error !== null ? (thrownBy.get(error) ?? "") : ""),
  };
}

/** Goes on with a value at once if it is there, else when it is. */
export function andThen<T, R>(value: MaybePromise<T>, goOn: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(goOn) : goOn(value);
}
