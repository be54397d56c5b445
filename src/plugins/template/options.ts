// The syntax of `template`. Regular expressions and templates are compiled as they are read, so that what is wrong with
// one has a file and a line.

import { integer, isProblem, word, type ArgType } from "../../config/arguments.ts";
import {
  deprecated,
  directive,
  each,
  notYet,
  once,
  one,
  readArgument,
  rest,
  zones,
  zonesOrAll,
  type Shape,
  type Syntax,
} from "../../config/directive.ts";
import { goRegexp, type GoRegexp } from "../../config/go-regexp.ts";
import { Rcodes, type Ede, type Rcode } from "../../dns/message.ts";
import type { Name } from "../../dns/name.ts";
import type { RRClass, RRType } from "../../dns/records.ts";
import { classOf, typeOf } from "../../dns/text.ts";
import { compileTemplate, type Template } from "./compile.ts";
import { readRecord } from "./record.ts";

export interface TemplateOptions {
  readonly args: Scope;
  readonly match: readonly (readonly GoRegexp[])[];
  readonly answer: readonly (readonly Template[])[];
  readonly additional: readonly (readonly Template[])[];
  readonly authority: readonly (readonly Template[])[];
  readonly rcode: Rcode | undefined;
  readonly ederror: Ede | undefined;
  /** Undefined: no name; empty: all. */
  readonly fallthrough: readonly Name[] | undefined;
}

/** Which questions a template is for. */
export interface Scope {
  readonly rrclass: RRClass;
  readonly type: RRType;
  /** Empty: those of the server block. */
  readonly zones: readonly Name[];
}

/** Response codes by CoreDNS's names (RFC 6895 §2.3). */
const RCODES: ReadonlyMap<string, Rcode> = new Map(
  Object.entries({
    ...Rcodes,
    NOTIMPL: 4,
    YXDOMAIN: 6,
    YXRRSET: 7,
    NXRRSET: 8,
    NOTAUTH: 9,
    NOTZONE: 10,
    DSOTYPENI: 11,
    BADSIG: 16,
    BADKEY: 17,
    BADTIME: 18,
    BADMODE: 19,
    BADNAME: 20,
    BADALG: 21,
    BADTRUNC: 22,
    BADCOOKIE: 23,
  }),
);
/** Octets of an extended error's text in any of our replies. */
const MAX_REASON_BYTES = 64;

const rrclass: ArgType<RRClass> = {
  usage: "CLASS",
  parse: (text) => classOf(text) ?? { problem: `must be IN, CH, HS, CS or ANY, found "${text}"` },
};
const type: ArgType<RRType> = {
  usage: "TYPE",
  parse: (text) => typeOf(text) ?? { problem: `must be a type like A, AAAA or ANY, found "${text}"` },
};
const rcode: ArgType<Rcode> = {
  usage: "CODE",
  parse: (text) => RCODES.get(text.toUpperCase()) ?? { problem: `must be one of ${[...RCODES.keys()].join(", ")}, found "${text}"` },
};
const record: ArgType<Template> = {
  usage: "RR",
  parse(text) {
    const template = compileTemplate(text);
    if (isProblem(template)) return { problem: `must be a template of a record: ${template.problem}` };
    const constant = text.includes("{{") ? undefined : readRecord(text);
    return isProblem(constant) ? { problem: `must be a record: ${constant.problem}` } : template;
  },
};

const scope: Shape<Scope> = {
  usage: "CLASS TYPE [ZONE...]",
  read(tokens, at, report) {
    const [classToken, typeToken, ...others] = tokens;
    if (classToken === undefined || typeToken === undefined) {
      report.error(at, `expected ${scope.usage}, found ${classToken === undefined ? "nothing" : `"${classToken.text}"`}`);
      return undefined;
    }
    const found = { rrclass: readArgument(rrclass, classToken, report), type: readArgument(type, typeToken, report) };
    const within = zones({ usage: "ZONE" }).read(others, at, report);
    return found.rrclass === undefined || found.type === undefined || within === undefined
      ? undefined
      : { ...(found as Scope), zones: within };
  },
};

const extendedError: Shape<Ede> = {
  usage: "CODE [TEXT]",
  read(tokens, at, report) {
    const [codeToken, textToken, ...others] = tokens;
    if (codeToken === undefined || others.length > 0) {
      report.error(
        others[0] ?? at,
        `expected ${extendedError.usage}, found ${tokens.length === 0 ? "nothing" : `"${tokens.map(({ text }) => text).join(" ")}"`}`,
      );
      return undefined;
    }
    const code = readArgument(integer({ usage: "CODE", max: 65_535 }), codeToken, report);
    if (code === undefined || textToken === undefined) return code === undefined ? undefined : { code, text: "" };
    const text = cut(textToken.text, MAX_REASON_BYTES);
    if (text !== textToken.text) report.warning(textToken, `TEXT is cut to ${MAX_REASON_BYTES} octets: "${text}"`);
    return { code, text };
  },
};

// Whole characters of UTF-8 only.
function cut(text: string, maxBytes: number): string {
  let end = 0;
  let bytes = 0;
  for (const char of text) {
    bytes += Buffer.byteLength(char);
    if (bytes > maxBytes) break;
    end += char.length;
  }
  return text.slice(0, end);
}

export const syntax: Syntax<TemplateOptions> = directive({
  args: scope,
  options: {
    match: each(rest(goRegexp("REGEX"), { min: 1 })),
    answer: each(rest(record, { min: 1 })),
    additional: each(rest(record, { min: 1 })),
    authority: each(rest(record, { min: 1 })),
    rcode: once(one(rcode)),
    ederror: once(extendedError),
    fallthrough: once(zonesOrAll({ usage: "ZONE" })),
    upstream: deprecated(rest(word("ADDRESS")), "the targets of CNAMEs are asked of the server block itself"),
    var: notYet(),
    expr: notYet(),
  },
  repeat: "each",
});
