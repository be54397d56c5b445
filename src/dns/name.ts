// Domain names as the wire has them. A Name is the lower-cased, uncompressed wire form (length bytes, labels,
// the root byte) held as a latin1 string: equal names are equal strings, usable as Map keys, and a dot inside
// a label is not a separator. Text is only for the edges: parseName() on the way in, formatName() on the way out.

import { NdotsError } from "../errors.ts";

declare const brand: unique symbol;
/** A domain name: latin1 of its lower-cased, uncompressed wire form with the root byte; 1–255 characters. */
export type Name = string & { readonly [brand]: "Name" };

/** Octets in the longest name, the root byte included (RFC 1035 §3.1). */
export const MAX_NAME_BYTES = 255;
/** Octets in the longest label (RFC 1035 §3.1). */
export const MAX_LABEL_BYTES = 63;
/** Pointers followed in one name: as many as it can have labels, so that reading a name takes bounded time. */
export const MAX_POINTERS = 127;
/** The root: the empty name. */
export const ROOT: Name = "\0" as Name;

/**
 * Parses the text form of a name: labels between dots, `\.` and `\DDD` escapes (RFC 1035 §5.1). A trailing dot
 * is optional: names are always taken as fully qualified. Throws NDOTS_ERR_NAME.
 * @example parseName("My-Nginx.default.svc.cluster.local")
 */
export function parseName(text: string): Name {
  if (text === "." || text === "") return ROOT;
  let name = "";
  let label = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === ".") {
      name += takeLabel(label, text);
      label = "";
    } else if (char === "\\") {
      const digits = /^\d{3}/.exec(text.slice(at + 1, at + 4))?.[0];
      const code = digits === undefined ? text.charCodeAt(at + 1) : Number(digits);
      // NaN: the text ends here. A lone digit is not an escaped letter (RFC 1035 §5.1).
      if (!(code <= 255) || (digits === undefined && code >= 0x30 && code <= 0x39))
        throw new NdotsError("NDOTS_ERR_NAME", `"${text}": bad escape`);
      label += String.fromCharCode(code);
      at += digits === undefined ? 1 : 3;
    } else {
      const code = char.charCodeAt(0);
      label += code < 0x80 ? char : Buffer.from(text.slice(at, at + (code >= 0xd800 && code < 0xdc00 ? 2 : 1))).toString("latin1");
      if (code >= 0xd800 && code < 0xdc00) at++;
    }
  }
  if (label !== "") name += takeLabel(label, text);
  if (name.length + 1 > MAX_NAME_BYTES) {
    throw new NdotsError("NDOTS_ERR_NAME", `"${text}": a name has at most ${MAX_NAME_BYTES} octets, found ${name.length + 1}`);
  }
  return (lowerCase(name) + "\0") as Name;
}

/** The same for texts that others have written; undefined where it is no name. */
export function tryName(text: string): Name | undefined {
  try {
    return parseName(text);
  } catch (error) {
    if (error instanceof NdotsError) return undefined;
    throw error;
  }
}

function takeLabel(label: string, text: string): string {
  if (label === "") throw new NdotsError("NDOTS_ERR_NAME", `"${text}": a label is empty`);
  if (label.length > MAX_LABEL_BYTES) {
    throw new NdotsError("NDOTS_ERR_NAME", `"${text}": a label has at most ${MAX_LABEL_BYTES} octets, found ${label.length}`);
  }
  return String.fromCharCode(label.length) + label;
}

/** The text form, fully qualified (`web.default.svc.cluster.local.`); odd bytes as `\DDD`, specials as `\.`. */
export function formatName(name: Name): string {
  if (name === ROOT) return ".";
  let text = "";
  for (const label of labelsOf(name)) text += `${formatLabel(label)}.`;
  return text;
}

/** One label as text, escaped as in a zone file. */
export function formatLabel(label: string): string {
  return label.replace(/[^!#-'*-\-/-:<-?A-[\]-~]/g, (char) =>
    char > " " && char < "\x7f" ? `\\${char}` : `\\${String(char.charCodeAt(0)).padStart(3, "0")}`,
  );
}

/** The labels from left to right, without the root. */
export function labelsOf(name: Name): string[] {
  const labels: string[] = [];
  for (let at = 0, length = name.charCodeAt(0); length > 0; length = name.charCodeAt(at)) {
    labels.push(name.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels;
}

/** The number of labels, the root not counted. */
export function countLabels(name: Name): number {
  let count = 0;
  for (let at = 0, length = name.charCodeAt(0); length > 0; length = name.charCodeAt(at)) {
    count++;
    at += 1 + length;
  }
  return count;
}

/** The name without its first label; the root's parent is the root. */
export function parentOf(name: Name): Name {
  return name === ROOT ? ROOT : (name.slice(1 + name.charCodeAt(0)) as Name);
}

/** True if `name` is `zone` or below it. Compares whole labels: `evilcluster.local` is not in `cluster.local`. */
export function isWithin(name: Name, zone: Name): boolean {
  if (!name.endsWith(zone)) return false;
  const boundary = name.length - zone.length;
  let at = 0;
  while (at < boundary) at += 1 + name.charCodeAt(at);
  return at === boundary;
}

/**
 * The labels of `name` below `zone`, from left to right; undefined if it is not in the zone.
 * @example labelsBelow(parseName("a.b.example.org"), parseName("example.org")) // ["a", "b"]
 */
export function labelsBelow(name: Name, zone: Name): string[] | undefined {
  if (!isWithin(name, zone)) return undefined;
  return labelsOf((name.slice(0, name.length - zone.length) + "\0") as Name);
}

/** `labels` (latin1) in front of `base`; undefined if one of them has not 1–63 characters or the whole is too long. */
export function nameBelow(base: Name, ...labels: readonly string[]): Name | undefined {
  let name = "";
  for (const label of labels) {
    if (label.length === 0 || label.length > MAX_LABEL_BYTES) return undefined;
    name += String.fromCharCode(label.length) + label;
  }
  return name.length + base.length > MAX_NAME_BYTES ? undefined : ((lowerCase(name) + base) as Name);
}

/** ASCII lower case only: DNS compares no other letters (RFC 4343). Length bytes are below "A" and pass unchanged. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The wire form in bytes. */
export function nameToWire(name: Name): Uint8Array {
  return Buffer.from(name, "latin1");
}

/**
 * Reads an uncompressed or compressed name out of a message. Pointers must go backwards (RFC 9267 §2).
 * Returns undefined where the bytes are no name; `end` is the offset behind the name's first part.
 */
export function readName(message: Uint8Array, start: number): { readonly name: Name; readonly end: number } | undefined {
  let at = start;
  let end = -1;
  let lowest = start;
  let pointers = 0;
  let text = "";
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) break;
    if (length >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) return undefined;
      if (end < 0) end = at + 2;
      at = ((length & 0x3f) << 8) | low;
      if (at >= lowest || ++pointers > MAX_POINTERS) return undefined;
      lowest = at;
      continue;
    }
    if (length > MAX_LABEL_BYTES || at + 1 + length > message.length) return undefined;
    text += latin1(message, at, at + 1 + length);
    if (text.length + 1 > MAX_NAME_BYTES) return undefined;
    at += 1 + length;
  }
  return { name: (lowerCase(text) + "\0") as Name, end: end < 0 ? at + 1 : end };
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Reflect.apply(String.fromCharCode, undefined, bytes.subarray(start, end)); // a spread takes five times as long
}
