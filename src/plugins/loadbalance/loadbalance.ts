// loadbalance — rotates the addresses and mail exchangers of an answer, so that clients that take the first one
// spread over all. The answer table rotates by itself; the handler does it for what comes down the chain.

import { randomInt } from "node:crypto";

import { andThen } from "../../chain.ts";
import { oneOf } from "../../config/arguments.ts";
import { directive, notYet, optional, type Options, type Property, type Shape } from "../../config/directive.ts";
import { findRun, rotateRun } from "../../dns/body.ts";
import { DROP, isWire, questionEnd, uint16, type Records, type Wire } from "../../dns/message.ts";
import { RRTypes, type Rdata, type RecordSet, type RRType } from "../../dns/records.ts";
import { recordsOf } from "../../dns/wire.ts";
import { definePlugin, type Answer, type Plugin } from "../../plugin.ts";

const ROTATED: ReadonlySet<RRType> = new Set([RRTypes.A, RRTypes.AAAA, RRTypes.MX]);
/** Any start will do: replicas must not all begin with the same address. */
const START_RANGE = 0x1_0000;

type LoadbalanceOptions = Options<"round_robin", { readonly prefer: Property<undefined>; readonly reload: Property<undefined> }>;

const plugin: Plugin<LoadbalanceOptions> = definePlugin({
  name: "loadbalance",
  syntax: directive({ args: policy(), options: { prefer: notYet(), reload: notYet() } }),
  setup() {
    const rotate = createRotation(randomInt(START_RANGE));
    return {
      transparent: true,
      rotates: ROTATED,
      handle: (query, next) => andThen(next(query), rotate),
    };
  },
});
export default plugin;

// `weighted FILE` is CoreDNS's other policy.
function policy(): Shape<"round_robin"> {
  const known = optional(oneOf("round_robin"), "round_robin" as const);
  return {
    usage: known.usage,
    read(tokens, at, report) {
      if (tokens[0]?.text !== "weighted") return known.read(tokens, at, report);
      report.error(tokens[0], "weighted is not supported yet; round_robin is");
      return undefined;
    },
  };
}

/** Rotates each answer by one more than the last; a count for each type, for A and AAAA are asked for in turns. */
export function createRotation(start: number): (answer: Answer) => Answer {
  const turns = new Map<RRType, number>();
  return (answer) => {
    if (answer === DROP) return answer;
    return isWire(answer) ? turnWire(answer) : turnRecords(answer);
  };

  function turnRecords(answer: Records): Records {
    if (answer.answer.length === 0) return answer;
    const cnames: RecordSet[] = [];
    const others: RecordSet[] = [];
    for (const rrset of answer.answer) (rrset.type === RRTypes.CNAME ? cnames : others).push(turn(rrset));
    return { ...answer, answer: [...cnames, ...others] };
  }

  // Another server's message stays as it is, but for the places of the records asked for.
  function turnWire(answer: Wire): Answer {
    const { message } = answer;
    const start = questionEnd(message);
    const type = uint16(message, start - 4);
    const count = uint16(message, 6);
    if (count < 2 || !ROTATED.has(type)) return answer;
    const run = findRun(message, start, message.length, count, type);
    if (run === undefined) return turnRecords(recordsOf(answer));
    return run.count < 2 ? answer : { ...answer, message: rotateRun(message, run, nextTurn(type)) };
  }

  function turn(rrset: RecordSet): RecordSet {
    const { type, rdata } = rrset;
    if (rdata.length < 2 || !ROTATED.has(type)) return rrset;
    return { ...rrset, rdata: rotated(rdata, nextTurn(type) % rdata.length) };
  }

  function nextTurn(type: RRType): number {
    const by = turns.get(type) ?? start;
    turns.set(type, by + 1);
    return by;
  }
}

function rotated(rdata: readonly Rdata[], by: number): readonly Rdata[] {
  return by === 0 ? rdata : [...rdata.slice(by), ...rdata.slice(0, by)];
}
