// The parameters of SVCB and HTTPS records as text, both ways (RFC 9460 §2.1, App. A). Called by text.ts for its field of that
// name. Pure; what has no text, and text that says nothing, is undefined.

import { addressToBytes } from "./rdata.ts";
import { addressText } from "./reverse.ts";

/** By their number (RFC 9460 §14.3.2, RFC 9461, RFC 9540). */
const KEYS = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"] as const;
const PREFIX = "key";
const MAX_KEY = 65_535;
/** Key and length. */
const HEAD_BYTES = 4;

/**
 * The wire form of `key[=value]` fields, sorted by key.
 * @param unescape gives the bytes of a value, `"…"` or bare.
 */
export function parseServiceParameters(
  fields: readonly string[],
  unescape: (text: string) => Uint8Array | undefined,
): Uint8Array | undefined {
  const values = new Map<number, Uint8Array>();
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as string;
    const at = field.indexOf("=");
    const key = keyOf(at < 0 ? field : field.slice(0, at));
    // A quote ends a word: `alpn="h2,h3"` comes as two.
    const isQuoted = at === field.length - 1 && fields[index + 1]?.startsWith('"') === true;
    const text = at < 0 ? undefined : isQuoted ? fields[++index] : field.slice(at + 1);
    const bytes = text === undefined ? new Uint8Array(0) : unescape(text);
    const value =
      key === undefined || bytes === undefined ? undefined : valueOf(key, text === undefined, Buffer.from(bytes).toString("latin1"));
    if (key === undefined || value === undefined || values.has(key) || value.length > MAX_KEY) return undefined;
    values.set(key, value);
  }
  const sorted = [...values].sort(([one], [other]) => one - other);
  return areMandatory(values) ? Buffer.concat(sorted.flatMap(([key, value]) => [uint16s(key, value.length), value])) : undefined;
}

/** @param quote gives the text of a value's bytes. */
export function formatServiceParameters(bytes: Uint8Array, quote: (bytes: Uint8Array) => string): string | undefined {
  const words: string[] = [];
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = new Map<number, Uint8Array>();
  let before = -1;
  for (let at = 0; at < bytes.length;) {
    if (at + HEAD_BYTES > bytes.length) return undefined;
    const key = view.readUInt16BE(at);
    const end = at + HEAD_BYTES + view.readUInt16BE(at + 2);
    if (key <= before || end > bytes.length) return undefined;
    values.set(key, view.subarray(at + HEAD_BYTES, end));
    const text = textOf(key, view.subarray(at + HEAD_BYTES, end), quote);
    if (text === undefined) return undefined;
    const name = KEYS[key] ?? `${PREFIX}${key}`;
    words.push(text === "" ? name : `${name}=${text}`);
    before = key;
    at = end;
  }
  return areMandatory(values) ? words.join(" ") : undefined;
}

function keyOf(text: string): number | undefined {
  const known = (KEYS as readonly string[]).indexOf(text);
  if (known >= 0) return known;
  const number = /^key(0|[1-9]\d{0,4})$/.test(text) ? Number(text.slice(PREFIX.length)) : MAX_KEY;
  return number < MAX_KEY ? number : undefined; // 65535 is kept for errors
}

function valueOf(key: number, isBare: boolean, text: string): Uint8Array | undefined {
  switch (KEYS[key]) {
    case "mandatory": {
      const keys = text.split(",").map(keyOf);
      if (keys.includes(undefined) || new Set(keys).size < keys.length || keys.includes(0)) return undefined;
      return uint16s(...(keys as number[]).sort((one, other) => one - other));
    }
    case "alpn": {
      const ids = listOf(text);
      if (isBare || ids.some((id) => id.length === 0 || id.length > 255)) return undefined;
      return Buffer.concat(ids.map((id) => Buffer.from(String.fromCharCode(id.length) + id, "latin1")));
    }
    case "no-default-alpn":
    case "ohttp":
      return isBare ? new Uint8Array(0) : undefined;
    case "port":
      return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? uint16s(Number(text)) : undefined;
    case "ipv4hint":
      return hints(text, 4);
    case "ipv6hint":
      return hints(text, 16);
    case "ech": {
      const bytes = Buffer.from(text, "base64");
      return text !== "" && bytes.toString("base64") === text ? bytes : undefined;
    }
    default:
      return Buffer.from(text, "latin1");
  }
}

function textOf(key: number, value: Buffer, quote: (bytes: Uint8Array) => string): string | undefined {
  switch (KEYS[key]) {
    case "mandatory": {
      if (value.length === 0 || value.length % 2 > 0) return undefined;
      const keys = Array.from({ length: value.length / 2 }, (_, index) => value.readUInt16BE(2 * index));
      if (keys.some((each, index) => each === 0 || each === MAX_KEY || each <= (keys[index - 1] ?? 0))) return undefined;
      return keys.map((each) => KEYS[each] ?? `${PREFIX}${each}`).join(",");
    }
    case "alpn": {
      const ids: string[] = [];
      for (let at = 0; at < value.length; at += 1 + (value[at] as number)) {
        const id = value.subarray(at + 1, at + 1 + (value[at] as number));
        if (id.length === 0 || id.length < (value[at] as number)) return undefined;
        ids.push(id.toString("latin1").replace(/[,\\]/g, "\\$&"));
      }
      return ids.length === 0 ? undefined : quote(Buffer.from(ids.join(","), "latin1"));
    }
    case "no-default-alpn":
    case "ohttp":
      return value.length === 0 ? "" : undefined;
    case "port":
      return value.length === 2 ? String(value.readUInt16BE(0)) : undefined;
    case "ipv4hint":
      return hintsText(value, 4);
    case "ipv6hint":
      return hintsText(value, 16);
    case "ech":
      return value.length === 0 ? undefined : value.toString("base64");
    default:
      return key === MAX_KEY ? undefined : value.length === 0 ? "" : quote(value);
  }
}

// Comma-separated, with `\,` and `\\` for what is in them (RFC 9460 App. A.1).
function listOf(text: string): string[] {
  const ids = [""];
  for (const [part] of text.matchAll(/\\[^]|,|[^,\\]+|\\/g)) {
    if (part === ",") ids.push("");
    else ids[ids.length - 1] += part.length === 2 && part.startsWith("\\") ? part.slice(1) : part;
  }
  return ids;
}

function hints(text: string, bytes: 4 | 16): Uint8Array | undefined {
  const addresses = text.split(",").map((address) => addressToBytes(address));
  return addresses.every((address) => address?.length === bytes) ? Buffer.concat(addresses as Uint8Array[]) : undefined;
}

function hintsText(value: Buffer, bytes: 4 | 16): string | undefined {
  if (value.length === 0 || value.length % bytes > 0) return undefined;
  return Array.from({ length: value.length / bytes }, (_, index) => addressText(value.subarray(bytes * index, bytes * (index + 1)))).join(
    ",",
  );
}

// RFC 9460 §8: what `mandatory` names is there.
function areMandatory(values: ReadonlyMap<number, Uint8Array>): boolean {
  const named = Buffer.from(values.get(0) ?? []);
  for (let at = 0; at < named.length; at += 2) if (!values.has(named.readUInt16BE(at))) return false;
  return true;
}

function uint16s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, 2 * index);
  return bytes;
}
