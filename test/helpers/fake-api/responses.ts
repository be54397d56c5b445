// How the fake API server puts answers on the wire: the head of a real one, small bodies with their length and others in
// chunks (as Go's server does), gzip for big lists, and the faults of single requests.

import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, constants } from "node:zlib";
import type { Clock } from "../../../src/clock.ts";
import type { Fault } from "./faults.ts";
import { unauthorized, type Status } from "./statuses.ts";

/** Go's server gives shorter bodies a Content-Length. */
const LENGTH_KNOWN_BYTES = 2048;
/** From here on lists are compressed for clients who take it. */
const GZIP_BYTES = 131_072;

const FLOWSCHEMA = "ae397204-6ab7-4a88-b843-57fe8980cd2d";
const PRIORITYLEVEL = "1ade8038-8634-4115-9190-7169c2a4b3d0";

/** Writes the head; the body is the caller's. */
export function respondBody(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  headers: Readonly<Record<string, string | number>> = {},
): void {
  // In the order of a real one, which sends no Connection header.
  if (request.headers.connection?.toLowerCase() !== "close") response.removeHeader("Connection");
  const flow =
    code === unauthorized.code ? {} : { "X-Kubernetes-Pf-Flowschema-Uid": FLOWSCHEMA, "X-Kubernetes-Pf-Prioritylevel-Uid": PRIORITYLEVEL };
  response.writeHead(code, {
    "Audit-Id": randomUUID(),
    "Cache-Control": "no-cache, private",
    "Content-Type": "application/json",
    ...flow,
    ...headers,
  });
}

export function respondText(request: IncomingMessage, response: ServerResponse, code: number, text: string, contentType?: string): void {
  const body = isPretty(request) && contentType === undefined ? pretty(text) : text;
  const headers = {
    ...(contentType !== undefined && { "Content-Type": contentType }),
    ...(body.length <= LENGTH_KNOWN_BYTES && { "Content-Length": Buffer.byteLength(body) }),
  };
  respondBody(request, response, code, headers);
  response.end(body);
}

export function respondStatus(request: IncomingMessage, response: ServerResponse, { code, body, retryAfterSeconds }: Status): void {
  const text = isPretty(request) ? JSON.stringify(body, undefined, 2) : `${JSON.stringify(body)}\n`;
  const headers = {
    ...(retryAfterSeconds !== undefined && { "Retry-After": retryAfterSeconds }),
    ...(code === 403 && { "X-Content-Type-Options": "nosniff" }),
    "Content-Length": Buffer.byteLength(text),
  };
  respondBody(request, response, code, headers);
  response.end(text);
}

/** A list, in its pieces. */
export async function respondPieces(
  request: IncomingMessage,
  response: ServerResponse,
  pieces: Iterable<string>,
  fault: Fault | undefined,
  clock: Clock,
  gone: AbortSignal,
): Promise<void> {
  const iterator = pieces[Symbol.iterator]();
  const first = iterator.next().value ?? "";
  const second = iterator.next();
  if (fault !== undefined || isPretty(request) || (second.done === true && first.length < GZIP_BYTES)) {
    const rest = second.done === true ? "" : second.value + [...{ [Symbol.iterator]: () => iterator }].join("");
    const text = isPretty(request) ? pretty(first + rest) : first + rest;
    if (fault !== undefined) return respondFaulty(request, response, text, fault, clock, gone);
    return respondText(request, response, 200, text);
  }
  const all = (function* all(): Generator<string> {
    yield first;
    if (second.done !== true) yield second.value;
    yield* { [Symbol.iterator]: () => iterator };
  })();
  if (/\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""))) {
    respondBody(request, response, 200, { "Content-Encoding": "gzip", Vary: "Accept-Encoding" });
    await pipeline(Readable.from(all), createGzip({ level: constants.Z_BEST_SPEED }), response).catch(() => undefined);
  } else {
    respondBody(request, response, 200);
    await pipeline(Readable.from(all), response).catch(() => undefined);
  }
}

async function respondFaulty(
  request: IncomingMessage,
  response: ServerResponse,
  text: string,
  fault: Fault,
  clock: Clock,
  gone: AbortSignal,
): Promise<void> {
  respondBody(request, response, 200);
  if (fault.kind === "truncate") {
    response.write(text.slice(0, fault.bytes), () => (fault.cut === true ? response.destroy() : response.end()));
    return;
  }
  if (fault.kind !== "slow") throw new Error(`a list can't have the fault ${fault.kind}`);
  for (let at = 0; at < text.length && !gone.aborted; at += fault.bytes) {
    response.write(text.slice(at, at + fault.bytes));
    await clock.delay(fault.everyMs, gone);
  }
  response.end();
}

const HTML = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n";

/** An answer that is none. */
export function respondSpoiled(
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault & { kind: "status" | "body" },
  statusOf: (fault: Fault & { kind: "status" }) => Status,
): void {
  if (fault.kind === "body") return respondText(request, response, 200, fault.text, fault.contentType ?? "application/json");
  const status = statusOf(fault);
  if (fault.body === "html") return respondText(request, response, fault.code, HTML, "text/html");
  if (fault.body === "empty") return respondText(request, response, fault.code, "", "application/json");
  respondStatus(request, response, status);
}

// As for people with curl and browsers.
function isPretty(request: IncomingMessage): boolean {
  const { searchParams } = new URL(request.url ?? "/", "http://localhost");
  const asked = searchParams.get("pretty");
  return asked === null ? /^(curl|Wget|Mozilla)/.test(request.headers["user-agent"] ?? "") : asked !== "false";
}

function pretty(text: string): string {
  return JSON.stringify(JSON.parse(text), undefined, 2);
}
