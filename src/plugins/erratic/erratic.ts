// erratic — an upstream that misbehaves, for tests of clients: drops, delays and cuts every so many answers. Counts queries, so
// that tests know which one it will be.

import { integer, goDuration } from "../../config/arguments.ts";
import { directive, none, once, optional, readArgument, type Options, type Property, type Shape } from "../../config/directive.ts";
import { DROP, emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { addressRdata } from "../../dns/rdata.ts";
import { RRTypes, type Rdata, type RRType } from "../../dns/records.ts";
import { definePlugin, type Answer, type Instance, type Plugin } from "../../plugin.ts";

const NAME = "erratic";
const DEFAULT_AMOUNT = 2;
const DEFAULT_DELAY_MS = 100;
/** Records of an A answer with `large`: more than 512 octets. */
const LARGE_RECORDS = 30;
/** Answers that wait at once; what would be more is dropped. */
const MAX_WAITING = 10_000;
/** Queries after which it says that it is ready, and then no more: CoreDNS's, for tests of `ready`. */
const READY_FROM = 3;
const READY_UNTIL = 5;

/** Addresses for documentation (RFC 5737, RFC 3849). */
const ADDRESSES: ReadonlyMap<RRType, Rdata> = new Map([
  [RRTypes.A, addressRdata("192.0.2.53")],
  [RRTypes.AAAA, addressRdata("2001:db8::53")],
]);

interface Delay {
  readonly amount: number;
  readonly forMs: number;
}

type ErraticOptions = Options<
  true,
  {
    readonly drop: Property<number | undefined>;
    readonly truncate: Property<number | undefined>;
    readonly delay: Property<Delay | undefined>;
    readonly large: Property<true | undefined>;
  }
>;

const plugin: Plugin<ErraticOptions> = definePlugin({
  name: NAME,
  syntax: directive({
    options: {
      drop: once(optional(amount(), DEFAULT_AMOUNT)),
      truncate: once(optional(amount(), DEFAULT_AMOUNT)),
      delay: once(delayShape()),
      large: once(none()),
    },
  }),
  setup: (options) => setup(options),
});
export default plugin;

function setup({ drop, truncate = 0, delay = { amount: 0, forMs: 0 }, large }: ErraticOptions): Instance {
  const dropped = drop ?? (truncate > 0 || delay.amount > 0 ? 0 : DEFAULT_AMOUNT);
  const waiting = new Set<() => void>();
  let count = 0;
  return {
    handle(query) {
      const number = count++;
      const isTurn = (every: number): boolean => every > 0 && number % every === 0;
      if (isTurn(dropped)) return DROP;
      const answer = answerTo(query, isTurn(truncate), large === true);
      if (!isTurn(delay.amount)) return answer;
      return waiting.size < MAX_WAITING ? late(answer, delay.forMs) : DROP;
    },
    ready: () => count >= READY_FROM && count < READY_UNTIL,
    notReadyReason: () => `is ready after ${READY_FROM} and before ${READY_UNTIL} queries only, ${count} so far`,
    stop() {
      for (const end of waiting) end();
    },
  };

  function late(answer: Answer, forMs: number): Promise<Answer> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        waiting.delete(end);
        resolve(answer);
      };
      const timer = setTimeout(end, forMs);
      timer.unref();
      waiting.add(end);
    });
  }
}

function answerTo({ qname, qtype }: Query, isCut: boolean, large: boolean): Records {
  const address = ADDRESSES.get(qtype);
  if (address === undefined) return emptyReply(Rcodes.SERVFAIL, NAME);
  const rdata = large && qtype === RRTypes.A ? Array.from({ length: LARGE_RECORDS }, () => address) : [address];
  return {
    ...emptyReply(Rcodes.NOERROR, NAME),
    authoritative: true,
    ...(isCut && { truncated: true }),
    answer: [{ owner: qname, type: qtype, ttl: 0, rdata }],
  };
}

function amount(): ReturnType<typeof integer> {
  return integer({ usage: "AMOUNT", max: 0x7fff_ffff });
}

function delayShape(): Shape<Delay> {
  const usage = "[AMOUNT [DURATION]]";
  return {
    usage,
    read([every, duration, more], at, report) {
      if (more !== undefined) {
        report.error(at, `expected ${usage}, found "${more.text}" behind them`);
        return undefined;
      }
      const given = every === undefined ? DEFAULT_AMOUNT : readArgument(amount(), every, report);
      const forMs = duration === undefined ? DEFAULT_DELAY_MS : readArgument(goDuration(), duration, report);
      return given === undefined || forMs === undefined ? undefined : { amount: given, forMs };
    },
  };
}
