// DNS over HTTPS as far as it is words and bytes (RFC 8484): what a request asks, and how long an answer may be kept. Used by
// https-connection.ts.

import { nameEnd } from "../dns/body.ts";
import { HEADER_BYTES, MAX_MESSAGE_BYTES, Rcodes, RR_FIXED_BYTES, uint16, uint32 } from "../dns/message.ts";
import { RRTypes } from "../dns/records.ts";
import { QUESTION_FIXED_BYTES } from "./padding.ts";

export const DNS_MESSAGE = "application/dns-message";
const PATH = "/dns-query";
/** The name of the query parameter of GET. */
const PARAMETER = "dns";
/** Four characters for three bytes. */
const MAX_ENCODED = Math.ceil((MAX_MESSAGE_BYTES * 4) / 3);

/** The beginning of a request. */
export interface RequestHead {
  readonly method: string;
  /** As sent: path and query. */
  readonly target: string;
  readonly contentType: string | undefined;
  readonly contentLength: string | undefined;
}

/** What to do with a request: answer a message, read it from the body, or refuse it with a status of HTTP. */
export type Asks =
  | { readonly kind: "message"; readonly packet: Uint8Array }
  | { readonly kind: "body" }
  | { readonly kind: "refused"; readonly status: 400 | 404 | 405 | 413 | 414 | 415 };

const BODY: Asks = { kind: "body" };

export function readHead({ method, target, contentType, contentLength }: RequestHead): Asks {
  const [path, parameters = ""] = splitTarget(target);
  if (path !== PATH) return refused(404);
  switch (method) {
    case "GET":
      return readParameters(parameters);
    case "POST":
      // The media type may have parameters, which say nothing here (RFC 9110 §8.3.1).
      if (contentType?.split(";", 1)[0]?.trim().toLowerCase() !== DNS_MESSAGE) return refused(415);
      return Number(contentLength ?? 0) > MAX_MESSAGE_BYTES ? refused(413) : BODY;
    default:
      return refused(405);
  }
}

// Over HTTP/1.1 the target may be a whole URL (RFC 9112 §3.2.2), as proxies send it; who it names is for the certificate to say.
function splitTarget(url: string): [path: string, parameters: string | undefined] {
  const target = url.replace(/^https?:\/\/[^/?]*/i, "");
  const at = target.indexOf("?");
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

// Its size is looked at before anything is made of it.
function readParameters(parameters: string): Asks {
  if (parameters.length > MAX_ENCODED + PARAMETER.length + 1) return refused(414);
  const [encoded, ...more] = new URLSearchParams(parameters).getAll(PARAMETER);
  // base64url without padding (RFC 8484 §4.1); Buffer reads anything.
  if (encoded === undefined || more.length > 0 || !/^[\w-]+$/.test(encoded)) return refused(400);
  return { kind: "message", packet: Buffer.from(encoded, "base64url") };
}

function refused(status: Extract<Asks, { kind: "refused" }>["status"]): Asks {
  return { kind: "refused", status };
}

/**
 * Seconds for which an answer of ours may be kept: the least TTL of its answer section, and without one what RFC 2308 §5 says
 * (RFC 8484 §5.1). 0 for failures, and for what can't be read.
 */
export function freshSeconds(answer: Uint8Array): number {
  const rcode = (answer[3] ?? 0) & 0x0f;
  if (answer.length < HEADER_BYTES || (rcode !== Rcodes.NOERROR && rcode !== Rcodes.NXDOMAIN)) return 0;
  const [questions, answers, authorities] = [uint16(answer, 4), uint16(answer, 6), uint16(answer, 8)];
  let at = HEADER_BYTES;
  for (let count = 0; count < questions; count++) at = nameEnd(answer, at) + QUESTION_FIXED_BYTES;
  let least = Number.POSITIVE_INFINITY;
  for (let count = 0; count < answers || (answers === 0 && count < authorities); count++) {
    const fixed = nameEnd(answer, at);
    const end = fixed + RR_FIXED_BYTES + uint16(answer, fixed + 8);
    if (!(end <= answer.length)) return 0;
    const ttl = uint32(answer, fixed + 4);
    if (answers > 0) least = Math.min(least, ttl);
    else if (uint16(answer, fixed) === RRTypes.SOA) least = Math.min(least, ttl, uint32(answer, end - MINIMUM_BYTES));
    at = end;
  }
  return Number.isFinite(least) ? least : 0;
}

/** MINIMUM is the last field of a SOA record (RFC 1035 §3.3.13). */
const MINIMUM_BYTES = 4;
