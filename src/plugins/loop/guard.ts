// The part of `loop` in the query path. While a probe is under way it counts how often its name comes in. Once there is a
// loop it knows the addresses that our own questions come back from, and cuts each question that comes back from there
// while it is on its way: what does not loop is answered as ever, and what does is SERVFAIL instead of a timeout.

import { EdeCodes, emptyReply, Rcodes, type Client, type Query, type Records } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import { RRTypes } from "../../dns/records.ts";
import type { Answer, Handler, MaybePromise, Next } from "../../plugin.ts";

export interface Guard {
  readonly handle: Handler;
  /** Counts questions for a name from now on. The probe itself is one; another is a loop. */
  expect(name: Name): Sightings;
  forget(sightings: Sightings): void;
  /** True from the second sighting of a probe to clear(). */
  readonly isLooping: boolean;
  clear(): void;
}

export interface Sightings {
  readonly name: Name;
  readonly count: number;
  /** Who sent it the last time. */
  readonly client: Client | undefined;
}

/** Questions under way that are remembered while there is a loop; more are handed on as they are. */
const MOST_IN_FLIGHT = 10_000;
/** Addresses that questions come back from: upstreams are few, a NAT's may be more. */
const MOST_ADDRESSES = 64;

// Equal questions that are under way, and whether one of them has come back.
interface Flight {
  questions: number;
  looped: boolean;
}

export function createGuard(): Guard {
  const expected = new Map<Name, Sightings & { count: number; client: Client | undefined }>();
  const comesBackFrom = new Set<string>();
  const inFlight = new Map<string, Flight>();

  const handle: Handler = (query, next) => {
    const sightings = query.qtype === RRTypes.HINFO ? expected.get(query.qname) : undefined;
    if (sightings !== undefined) {
      sightings.count++;
      sightings.client = query.client;
      if (sightings.count === 1) return next(query);
      if (comesBackFrom.size < MOST_ADDRESSES) comesBackFrom.add(query.client.address);
      return CUT;
    }
    return comesBackFrom.size === 0 ? next(query) : guarded(query, next);
  };

  function guarded(query: Query, next: Next): MaybePromise<Answer> {
    const question = `${query.qtype} ${query.qname}`;
    let flight = inFlight.get(question);
    if (flight === undefined) {
      if (inFlight.size >= MOST_IN_FLIGHT) return next(query);
      inFlight.set(question, (flight = { questions: 0, looped: false }));
    } else if (comesBackFrom.has(query.client.address)) {
      flight.looped = true;
      return CUT;
    }
    const entered = flight;
    entered.questions++;
    const leave = (): void => {
      if (--entered.questions === 0) inFlight.delete(question);
    };
    const landed = (answer: Answer): Answer => (entered.looped ? LOOPED : answer);
    try {
      const answer = next(query);
      if (answer instanceof Promise) return answer.then(landed).finally(leave);
      leave();
      return landed(answer);
    } catch (error) {
      leave();
      throw error;
    }
  }

  return {
    handle,
    expect(name) {
      const sightings = { name, count: 0, client: undefined };
      expected.set(name, sightings);
      return sightings;
    },
    forget: ({ name }) => void expected.delete(name),
    get isLooping() {
      return comesBackFrom.size > 0;
    },
    clear: () => comesBackFrom.clear(),
  };
}

// Not a foreign answer: it is remembered nowhere, so all is well with the first query after the loop is gone. What comes
// back is our own question, and no line in the log; the client's is.
const CUT: Records = { ...emptyReply(Rcodes.SERVFAIL, "loop"), ede: { code: EdeCodes.OTHER, text: "loop" } };
const LOOPED: Records = { ...CUT, error: "plugin/loop: the query comes back" };
