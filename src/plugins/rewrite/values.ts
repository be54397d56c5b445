// Single words of `rewrite` rules: types, classes, TTLs and response codes, as CoreDNS takes them.

import type { ArgType } from "../../config/arguments.ts";
import { classOf, typeOf } from "../../dns/text.ts";
import { nearest } from "../../errors.ts";

export const TYPE: ArgType<number> = {
  usage: "TYPE",
  parse: (text) => typeOf(text) ?? { problem: `must be a record type like A or TYPE65280, found "${text}"` },
};

export const CLASS: ArgType<number> = {
  usage: "CLASS",
  parse: (text) => classOf(text) ?? { problem: `must be a class like IN or CH, found "${text}"` },
};

/** The largest TTL (RFC 2181 §8). */
const MAX_TTL_SECONDS = 0x7fff_ffff;

/** One number, or a range of which one end may be left out. */
export const TTL: ArgType<{ readonly min: number; readonly max: number }> = {
  usage: "SECONDS",
  parse(text) {
    const [, low = "", dash, high = ""] = /^(\d*)(-?)(\d*)$/.exec(text) ?? [];
    const min = low === "" ? 0 : Number(low);
    const max = dash === "" ? min : high === "" ? MAX_TTL_SECONDS : Number(high);
    const isGiven = low !== "" || high !== "";
    return isGiven && min <= max && max <= MAX_TTL_SECONDS
      ? { min, max }
      : { problem: `must be seconds like 30, 30-300, 30- or -300, at most ${MAX_TTL_SECONDS}, found "${text}"` };
  },
};

// Names and numbers of CoreDNS's (RFC 6895 §2.3).
const RCODES: readonly string[] =
  "NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE DSOTYPENI - - - - BADSIG BADKEY BADTIME BADMODE BADNAME BADALG BADTRUNC BADCOOKIE".split(
    " ",
  );
const OTHER_RCODES: Readonly<Record<string, number>> = { NOTIMPL: 4, BADVERS: 16 };

export const RCODE: ArgType<number> = {
  usage: "RCODE",
  parse(text) {
    const upper = text.toUpperCase();
    const code = /^\d+$/.test(text) ? Number(text) : text === "-" ? -1 : (OTHER_RCODES[upper] ?? RCODES.indexOf(upper));
    if (code >= 0 && code < RCODES.length) return code;
    const meant = nearest(upper, RCODES);
    const problem = `must be a response code like SERVFAIL, or its number, found "${text}"`;
    return { problem: meant === undefined ? problem : `${problem}, did you mean "${meant}"?` };
  },
};
