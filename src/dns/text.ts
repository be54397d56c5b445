// Records as text, the form of a zone file (RFC 1035 §5.1, RFC 3597), both ways: for tests, logs, zone files and the CLI.
// One table says which fields the rdata of a type has; a type that is not in it, and rdata that is not what its type
// says, is written `\# LENGTH HEX`. One record a line: parentheses and $-directives belong to the zone file reader.

import { NdotsError, nearest } from "../errors.ts";
import { Rcodes, type Rcode } from "./message.ts";
import { formatName, nameToWire, parseName, readName, ROOT, type Name } from "./name.ts";
import { addressToBytes } from "./rdata.ts";
import { formatServiceParameters, parseServiceParameters } from "./service-parameters.ts";
import { RRClasses, RRTypes, type Rdata, type RecordSet, type RRClass, type RRType } from "./records.ts";

/** One record as its text says. */
export interface TextRecord {
  readonly owner: Name;
  readonly ttl: number;
  readonly type: RRType;
  readonly rrclass: RRClass;
  readonly rdata: Rdata;
}

export interface TextOptions {
  /** Stands behind names without a trailing dot, and for `@`; the root unless given. */
  readonly origin?: Name;
  /** Seconds, for records without a TTL; 0 unless given. */
  readonly ttl?: number;
}

/** The largest TTL (RFC 2181 §8). */
const MAX_TTL_SECONDS = 0x7fff_ffff;

/**
 * Reads one record: `OWNER [TTL] [CLASS] TYPE RDATA…`, TTL and class in either order. Throws NDOTS_ERR_RDATA or NDOTS_ERR_NAME.
 * @example parseRecord("web.example.org. 5 IN A 192.0.2.1")
 */
export function parseRecord(text: string, options: TextOptions = {}): TextRecord {
  const { origin = ROOT } = options;
  const [ownerText, ...fields] = splitFields(text);
  if (ownerText === undefined) throw rdataError(`"${text}": a record is OWNER [TTL] [CLASS] TYPE RDATA, found nothing`);
  let ttl = options.ttl ?? 0;
  let rrclass: RRClass = RRClasses.IN;
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as string;
    if (index < 2 && /^\d+$/.test(field)) {
      ttl = Number(field);
      if (ttl > MAX_TTL_SECONDS) throw rdataError(`"${text}": a TTL is 0 to ${MAX_TTL_SECONDS} seconds, found ${field}`);
      continue;
    }
    const foundClass = classOf(field);
    if (index < 2 && foundClass !== undefined) {
      rrclass = foundClass;
      continue;
    }
    const type = typeOf(field);
    if (type === undefined) {
      const near = nearest(field.toUpperCase(), Object.keys(RRTypes));
      throw rdataError(`"${text}": no such type: "${field}"${near === undefined ? "" : `; the nearest is ${near}`}`);
    }
    return { owner: nameFromText(ownerText, origin), ttl, type, rrclass, rdata: rdataFromText(type, fields.slice(index + 1), origin) };
  }
  throw rdataError(`"${text}": a record is OWNER [TTL] [CLASS] TYPE RDATA, found no type`);
}

/** Reads records, one a line, and puts those of one owner, class and type together, in the order of their first lines. */
export function parseRecordSets(text: string, options: TextOptions = {}): RecordSet[] {
  const sets = new Map<string, RecordSet & { readonly rdata: Rdata[] }>();
  const records = new Set<string>(); // an rrset has no record twice (RFC 2181 §5)
  for (const line of text.split("\n")) {
    if (splitFields(line).length === 0) continue;
    const { owner, ttl, type, rrclass, rdata } = parseRecord(line, options);
    const key = `${type} ${rrclass} ${owner}`;
    const record = `${key} ${Buffer.from(rdata).toString("latin1")}`;
    const set = sets.get(key);
    if (set === undefined) {
      sets.set(key, { owner, type, ttl, rdata: [rdata], ...(rrclass === RRClasses.IN ? {} : { rrclass }) });
    } else if (set.ttl !== ttl) {
      throw rdataError(`"${line.trim()}": the records of one rrset have one TTL (RFC 2181 §5.2), found ${set.ttl} and ${ttl}`);
    } else if (!records.has(record)) {
      set.rdata.push(rdata);
    }
    records.add(record);
  }
  return [...sets.values()];
}

/** `OWNER TTL CLASS TYPE RDATA`, as parseRecord() reads it. */
export function formatRecord(rrset: Omit<RecordSet, "rdata">, rdata: Rdata): string {
  const { owner, ttl, type, rrclass = RRClasses.IN } = rrset;
  return `${formatName(owner)} ${ttl} ${className(rrclass)} ${typeName(type)} ${rdataToText(type, rdata)}`;
}

/** "A", or "TYPE1000" (RFC 3597 §5). */
export function typeName(type: RRType): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`;
}

/** The type of a name or of `TYPEn`, in any case. */
export function typeOf(text: string): RRType | undefined {
  return codeOf(text, RRTypes, "TYPE");
}

/** "IN", or "CLASS9999" (RFC 3597 §5). */
export function className(rrclass: RRClass): string {
  return CLASS_NAMES.get(rrclass) ?? `CLASS${rrclass}`;
}

/** The class of a name or of `CLASSn`, in any case. */
export function classOf(text: string): RRClass | undefined {
  return codeOf(text, RRClasses, "CLASS");
}

/** "NXDOMAIN", or "RCODE12" as CoreDNS writes it. */
export function rcodeName(rcode: Rcode): string {
  return RCODE_NAMES.get(rcode) ?? `RCODE${rcode}`;
}

/** The rdata that `fields` say: in their type's own form or as `\# LENGTH HEX`. Throws NDOTS_ERR_RDATA or NDOTS_ERR_NAME. */
export function rdataFromText(type: RRType, fields: readonly string[], origin: Name = ROOT): Rdata {
  const layout = LAYOUTS.get(type);
  if (fields[0] === "\\#") {
    const rdata = unknownFromText(type, fields.slice(1));
    if (layout !== undefined && fieldsToText(layout, rdata) === undefined) {
      throw rdataError(`${typeName(type)}: the bytes "${fields.slice(1).join(" ")}" are no rdata of this type`);
    }
    return rdata;
  }
  if (layout === undefined) throw rdataError(`${typeName(type)}: is written \\# LENGTH HEX, found "${fields.join(" ")}"`);
  const last = layout.at(-1) as FieldKind;
  if (fields.length < layout.length - (last === "parameters" ? 1 : 0) || (fields.length > layout.length && !REPEATED.has(last))) {
    throw rdataError(`${typeName(type)}: needs ${layout.join(", ")}; found ${fields.length} fields: "${fields.join(" ")}"`);
  }
  // Blanks may stand in digits of any length (RFC 3597 §5, RFC 4034 §2.2).
  const rest = fields.slice(layout.length - 1).join(last === "parameters" ? " " : "");
  const written = last === "strings" ? fields : [...fields.slice(0, layout.length - 1), rest];
  const parts = written.map((field, index) => {
    const kind = layout[Math.min(index, layout.length - 1)] as FieldKind;
    const part = FIELDS[kind].parse(field, origin);
    if (part === undefined) throw rdataError(`${typeName(type)}: "${field}" is not ${FIELDS[kind].words}`);
    return part;
  });
  const rdata = Buffer.concat(parts);
  if (rdata.length > MAX_RDATA_BYTES) {
    throw rdataError(`${typeName(type)}: rdata has at most ${MAX_RDATA_BYTES} octets, found ${rdata.length}`);
  }
  return rdata;
}

/** The text of rdata; `\# LENGTH HEX` for types without a form and for bytes that are none of their type's. Never throws. */
export function rdataToText(type: RRType, rdata: Rdata): string {
  const layout = LAYOUTS.get(type);
  const text = layout === undefined ? undefined : fieldsToText(layout, rdata);
  if (text !== undefined) return text;
  const hex = Buffer.from(rdata.buffer, rdata.byteOffset, rdata.length).toString("hex");
  return rdata.length === 0 ? "\\# 0" : `\\# ${rdata.length} ${hex}`;
}

/** A name as a zone file writes it: `@` is the origin, and without a trailing dot it is relative. Throws NDOTS_ERR_NAME. */
export function nameFromText(text: string, origin: Name): Name {
  if (text === "@") return origin;
  const name = parseName(text);
  if (origin === ROOT || /(^|[^\\])(\\\\)*\.$/.test(text)) return name;
  return parseName(formatName(name) + formatName(origin)); // says so if it gets too long
}

function rdataError(message: string): NdotsError {
  return new NdotsError("NDOTS_ERR_RDATA", message);
}

// Words between blanks, up to a comment; "…" is one field and keeps its quotes, escapes stay as they are.
function splitFields(text: string): string[] {
  const fields: string[] = [];
  for (const [field] of text.matchAll(/"(?:[^"\\]|\\[^])*"?|;.*|(?:[^\s"\\;]|\\[^]?)+/gs)) {
    if (field.startsWith(";")) break;
    fields.push(field);
  }
  return fields;
}

function codeOf(text: string, codes: Readonly<Record<string, number>>, prefix: string): number | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(codes, upper)) return codes[upper];
  const digits = upper.startsWith(prefix) ? upper.slice(prefix.length) : "";
  return /^\d{1,5}$/.test(digits) && Number(digits) <= 0xffff ? Number(digits) : undefined;
}

function unknownFromText(type: RRType, [length, ...hex]: readonly string[]): Rdata {
  const digits = hex.join("");
  if (length === undefined || !/^\d{1,5}$/.test(length) || !/^([0-9a-f]{2})*$/i.test(digits) || digits.length !== Number(length) * 2) {
    throw rdataError(`${typeName(type)}: after \\# come the number of octets and as many in hex, found "${[length, ...hex].join(" ")}"`);
  }
  return Buffer.from(digits, "hex");
}

function fieldsToText(layout: readonly FieldKind[], rdata: Rdata): string | undefined {
  const texts: string[] = [];
  let at = 0;
  for (let index = 0; index < layout.length || (at < rdata.length && layout.at(-1) === "strings"); index++) {
    const field = FIELDS[layout[Math.min(index, layout.length - 1)] as FieldKind].format(rdata, at);
    if (field === undefined) return undefined;
    texts.push(field.text);
    at = field.end;
  }
  return at === rdata.length ? texts.join(" ").trimEnd() : undefined;
}

interface Field {
  /** What it is, for errors: "is not …". */
  readonly words: string;
  parse(text: string, origin: Name): Uint8Array | undefined;
  /** The field's text and the offset behind it; undefined where the bytes are none. */
  format(rdata: Rdata, at: number): { readonly text: string; readonly end: number } | undefined;
}

/** Octets in the longest character-string (RFC 1035 §3.3). */
const MAX_STRING_BYTES = 255;
/** RDLENGTH has 16 bits. */
const MAX_RDATA_BYTES = 65_535;

type FieldKind =
  | "ipv4"
  | "ipv6"
  | "name"
  | "8 bits"
  | "16 bits"
  | "32 bits"
  | "string"
  | "strings"
  | "tag"
  | "value"
  | "hex"
  | "base64"
  | "parameters";

/** Of which there may be several words, where they stand last. */
const REPEATED: ReadonlySet<FieldKind> = new Set(["strings", "hex", "base64", "parameters"]);

const FIELDS: Readonly<Record<FieldKind, Field>> = {
  ipv4: {
    words: "an IPv4 address",
    parse: (text) => (text.includes(":") ? undefined : addressToBytes(text)),
    format: (rdata, at) => (at + 4 > rdata.length ? undefined : { text: rdata.subarray(at, at + 4).join("."), end: at + 4 }),
  },
  ipv6: {
    words: "an IPv6 address",
    parse: (text) => (text.includes(":") ? addressToBytes(text) : undefined),
    format: (rdata, at) => (at + 16 > rdata.length ? undefined : { text: ipv6Text(rdata, at), end: at + 16 }),
  },
  name: {
    words: "a domain name",
    parse: (text, origin) => nameToWire(nameFromText(text, origin)),
    format: (rdata, at) => {
      const found = readName(rdata, at);
      // Rdata is uncompressed: a name that is not as long as its bytes came through a pointer.
      return found === undefined || found.end - at !== found.name.length ? undefined : { text: formatName(found.name), end: found.end };
    },
  },
  "8 bits": integer(1),
  "16 bits": integer(2),
  "32 bits": integer(4),
  string: characterString(),
  strings: characterString(),
  /** A CAA property's tag (RFC 8659 §4.1). */
  tag: {
    words: "a tag of 1 to 255 letters and digits",
    parse: (text) => (/^[0-9A-Za-z]{1,255}$/.test(text) ? Buffer.from(String.fromCharCode(text.length) + text, "latin1") : undefined),
    format: (rdata, at) => {
      const end = at + 1 + (rdata[at] ?? rdata.length);
      const text = Buffer.from(rdata.subarray(at + 1, end)).toString("latin1");
      return end > rdata.length || !/^[0-9A-Za-z]+$/.test(text) ? undefined : { text, end };
    },
  },
  /** The rest of the rdata as one string without a length. */
  value: {
    words: "a string",
    parse: (text) => unescape(text),
    format: (rdata, at) => ({ text: quote(rdata.subarray(at)), end: rdata.length }),
  },
  hex: {
    words: "an even number of hex digits",
    parse: (text) => (/^(?:[0-9a-f]{2})+$/i.test(text) ? Buffer.from(text, "hex") : undefined),
    format: (rdata, at) => (at === rdata.length ? undefined : { text: bytesText(rdata, at, "hex"), end: rdata.length }),
  },
  base64: {
    words: "base64",
    parse: (text) => {
      const bytes = Buffer.from(text, "base64");
      return text !== "" && bytes.toString("base64") === text ? bytes : undefined;
    },
    format: (rdata, at) => (at === rdata.length ? undefined : { text: bytesText(rdata, at, "base64"), end: rdata.length }),
  },
  /** Those of SVCB; there may be none. */
  parameters: {
    words: "parameters, as alpn=h2,h3 port=8443",
    parse: (text) => parseServiceParameters(splitFields(text), unescape),
    format: (rdata, at) => {
      const text = formatServiceParameters(rdata.subarray(at), quote);
      return text === undefined ? undefined : { text, end: rdata.length };
    },
  },
};

function bytesText(rdata: Rdata, at: number, form: "hex" | "base64"): string {
  return Buffer.from(rdata.buffer, rdata.byteOffset + at, rdata.length - at).toString(form);
}

/** The fields of a type's rdata, in order. A last field "strings" stands for one or more. */
const LAYOUTS: ReadonlyMap<RRType, readonly FieldKind[]> = new Map<RRType, readonly FieldKind[]>([
  [RRTypes.A, ["ipv4"]],
  [RRTypes.NS, ["name"]],
  [RRTypes.CNAME, ["name"]],
  [RRTypes.SOA, ["name", "name", "32 bits", "32 bits", "32 bits", "32 bits", "32 bits"]],
  [RRTypes.PTR, ["name"]],
  [RRTypes.HINFO, ["string", "string"]],
  [RRTypes.MX, ["16 bits", "name"]],
  [RRTypes.TXT, ["strings"]],
  [RRTypes.AAAA, ["ipv6"]],
  [RRTypes.SRV, ["16 bits", "16 bits", "16 bits", "name"]],
  [RRTypes.CAA, ["8 bits", "tag", "value"]],
  [RRTypes.SVCB, ["16 bits", "name", "parameters"]],
  [RRTypes.HTTPS, ["16 bits", "name", "parameters"]],
  [RRTypes.RP, ["name", "name"]],
  [RRTypes.AFSDB, ["16 bits", "name"]],
  [RRTypes.NAPTR, ["16 bits", "16 bits", "string", "string", "string", "name"]],
  [RRTypes.KX, ["16 bits", "name"]],
  [RRTypes.DNAME, ["name"]],
  [RRTypes.DS, ["16 bits", "8 bits", "8 bits", "hex"]],
  [RRTypes.SSHFP, ["8 bits", "8 bits", "hex"]],
  [RRTypes.DNSKEY, ["16 bits", "8 bits", "8 bits", "base64"]],
  [RRTypes.TLSA, ["8 bits", "8 bits", "8 bits", "hex"]],
  [RRTypes.SMIMEA, ["8 bits", "8 bits", "8 bits", "hex"]],
  [RRTypes.CDS, ["16 bits", "8 bits", "8 bits", "hex"]],
  [RRTypes.CDNSKEY, ["16 bits", "8 bits", "8 bits", "base64"]],
  [RRTypes.OPENPGPKEY, ["base64"]],
  [RRTypes.SPF, ["strings"]],
  [RRTypes.URI, ["16 bits", "16 bits", "value"]],
]);

const TYPE_NAMES: ReadonlyMap<RRType, string> = namesOf(RRTypes);
const CLASS_NAMES: ReadonlyMap<RRClass, string> = namesOf(RRClasses);
const RCODE_NAMES: ReadonlyMap<Rcode, string> = namesOf({
  ...Rcodes,
  // Only ever passed on (RFC 6895 §2.3):
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADCOOKIE: 23,
});

function namesOf(codes: Readonly<Record<string, number>>): Map<number, string> {
  return new Map(Object.entries(codes).map(([name, code]) => [code, name]));
}

function integer(bytes: 1 | 2 | 4): Field {
  const max = 2 ** (8 * bytes) - 1;
  return {
    words: `a number from 0 to ${max}`,
    parse: (text) => {
      if (!/^\d{1,10}$/.test(text) || Number(text) > max) return undefined;
      const field = Buffer.alloc(bytes);
      field.writeUIntBE(Number(text), 0, bytes);
      return field;
    },
    format: (rdata, at) => {
      if (at + bytes > rdata.length) return undefined;
      let value = 0;
      for (const byte of rdata.subarray(at, at + bytes)) value = value * 256 + byte;
      return { text: String(value), end: at + bytes };
    },
  };
}

// RFC 1035 §3.3: a length octet and as many octets.
function characterString(): Field {
  return {
    words: `a string of at most ${MAX_STRING_BYTES} octets`,
    parse: (text) => {
      const bytes = unescape(text);
      return bytes === undefined || bytes.length > MAX_STRING_BYTES ? undefined : Buffer.from([bytes.length, ...bytes]);
    },
    format: (rdata, at) => {
      const end = at + 1 + (rdata[at] ?? rdata.length);
      return end > rdata.length ? undefined : { text: quote(rdata.subarray(at + 1, end)), end };
    },
  };
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::". */
export function ipv6Text(rdata: Rdata, at: number): string {
  const groups: string[] = [];
  for (let index = at; index < at + 16; index += 2) groups.push((((rdata[index] ?? 0) << 8) | (rdata[index + 1] ?? 0)).toString(16));
  let best = { start: 0, length: 1 };
  for (let start = 0, length = 0; start < groups.length; start += length + 1) {
    for (length = 0; groups[start + length] === "0";) length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length === 1) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

// The bytes of a character-string, quoted or not: `\DDD` is a byte, `\X` is X, all else UTF-8 (RFC 1035 §5.1).
function unescape(text: string): Uint8Array | undefined {
  const quoted = text.startsWith('"');
  if (quoted && (text.length < 2 || !/[^\\](\\\\)*"$/s.test(text))) return undefined; // never closed
  const parts: Uint8Array[] = [];
  for (const [part] of (quoted ? text.slice(1, -1) : text).matchAll(/\\\d{3}|\\[^]?|[^\\]+/gu)) {
    if (!part.startsWith("\\")) parts.push(Buffer.from(part));
    else if (part.length === 4 && Number(part.slice(1)) < 256) parts.push(Uint8Array.of(Number(part.slice(1))));
    else if (/^\\[^\d]/u.test(part)) parts.push(Buffer.from(part.slice(1)));
    else return undefined;
  }
  return Buffer.concat(parts);
}

function quote(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (byte < 0x20 || byte > 0x7e) text += `\\${String(byte).padStart(3, "0")}`;
    else text += char === '"' || char === "\\" ? `\\${char}` : char;
  }
  return `"${text}"`;
}
