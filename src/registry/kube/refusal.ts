// What the API server says when it does not give what was asked for: a status other than 200, or a Status (the object) in
// the place of a list or an event. Read by the reflector, which decides what to do by it.

import { isObject } from "../manifest-fields.ts";
import type { KubeResponse } from "./client.ts";
import { MalformedBody } from "./stream.ts";

/** Of an error's body. */
const MAX_STATUS_BYTES = 64 * 1024;
/** Of what others wrote, in a message. */
const SHOWN_CHARACTERS = 200;
const [OK, GONE, GATEWAY_TIMEOUT] = [200, 410, 504];

/** The server has answered, but not with what was asked for. */
export class Refused extends Error {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  /** The version to watch from is none the server has: only a list helps. */
  readonly isExpired: boolean;

  constructor(body: unknown, status: number, retryAfterMs?: number) {
    const { reason, message, code, details } = isObject(body) ? body : {};
    const causes = isObject(details) && Array.isArray(details["causes"]) ? (details["causes"] as unknown[]) : [];
    const isTooLarge = causes.some((cause) => isObject(cause) && cause["reason"] === "ResourceVersionTooLarge");
    const actual = status === OK && typeof code === "number" ? code : status;
    const why = [reason, message].find((text): text is string => typeof text === "string" && text !== "") ?? "";
    super(`${actual} ${why.slice(0, SHOWN_CHARACTERS)}`.trimEnd());
    this.status = actual;
    this.retryAfterMs = retryAfterMs;
    this.isExpired = actual === GONE || (actual === GATEWAY_TIMEOUT && isTooLarge);
  }
}

/** The refusal that a response is. Reads and ends it. */
export async function refusalOf(response: KubeResponse): Promise<Refused> {
  let text = Buffer.alloc(0);
  try {
    for await (const chunk of response.body) {
      text = Buffer.concat([text, chunk]);
      if (text.length > MAX_STATUS_BYTES) break;
    }
  } catch {
    // The status says enough.
  }
  response.cancel();
  return new Refused(parse(text.toString()), response.status, response.retryAfterMs);
}

/** A body of status 200 that is something else: a Status, as a proxy or a half-started server sends. */
export function notTheList(body: unknown): Error {
  if (isObject(body) && body["kind"] === "Status") return new Refused(body, OK);
  const kind = isObject(body) && typeof body["kind"] === "string" ? `a ${body["kind"].slice(0, SHOWN_CHARACTERS)}` : "something else";
  return new MalformedBody(`neither a list nor events, but ${kind}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
