// Master files (RFC 1035 §5, RFC 2308 §4, RFC 3597) → the rrsets of one zone. Called by plugins that serve zones from files;
// other files come through `include`, so that what may be read is decided there. Pure, in steps: a large zone must not hold
// the event loop. Never throws for what a file says: all that is wrong is told with file and line.

import { NdotsError, type Finding } from "../errors.ts";
import { formatName, isWithin, type Name } from "./name.ts";
import { RRClasses, RRTypes, type Rdata, type RecordSet, type RRType } from "./records.ts";
import { classOf, nameFromText, rdataFromText, typeName, typeOf } from "./text.ts";
import { zoneFileEntries, type ZoneFileEntry } from "./zone-file-entries.ts";
import { generated } from "./zone-file-generate.ts";

export interface ZoneFileInput {
  /** For messages. */
  readonly file: string;
  readonly text: string;
  /** The apex, and what relative names are relative to at first. */
  readonly apex: Name;
  /** Reads a file that `from` names in $INCLUDE; a text is why it can't be had. Absent: $INCLUDE is refused. */
  readonly include?: (path: string, from: string) => IncludedFile | string;
  /** Those of $GENERATE included; a million unless given, which take some 500 MB. */
  readonly maxRecords?: number;
}

export interface IncludedFile {
  /** For messages, and `from` of what it includes. */
  readonly file: string;
  readonly text: string;
}

export interface ZoneFile {
  /** At most one rrset of an owner and type, as createZone() takes them; not to be used if a finding is an error. */
  readonly records: readonly RecordSet[];
  /** The SOA's; 0 where there is none. */
  readonly serial: number;
  readonly findings: readonly Finding[];
}

const MAX_RECORDS = 1_000_000;
/** Files in files, as in CoreDNS. */
const MAX_DEPTH = 7;
const MAX_INCLUDES = 1_000;
/** Errors that are told: a file of another kind would have one for each line. */
const MAX_ERRORS = 20;
const MAX_WARNINGS = 20;
/** Records between two steps: about a millisecond. */
const RECORDS_A_STEP = 200;
/** The largest TTL (RFC 2181 §8). */
const MAX_TTL_SECONDS = 0x7fff_ffff;
const DIRECTIVES = "$GENERATE, $INCLUDE, $ORIGIN and $TTL";
/** What signed zones have beside a CNAME (RFC 4035 §2.5). */
const BESIDE_CNAME: ReadonlySet<RRType> = new Set([RRTypes.RRSIG, RRTypes.NSEC]);

interface Building extends RecordSet {
  readonly rdata: Rdata[];
  readonly file: string;
  readonly line: number;
}

// What a file hands on to those it includes, and keeps itself behind them (RFC 1035 §5.1).
interface Context {
  origin: Name;
  owner: Name | undefined;
}

/** All at once. */
export function readZoneFile(input: ZoneFileInput): ZoneFile {
  const steps = zoneFileSteps(input);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Yields now and then, and returns what the file says. */
export function* zoneFileSteps({ file, text, apex, include, maxRecords = MAX_RECORDS }: ZoneFileInput): Generator<undefined, ZoneFile> {
  const findings: Finding[] = [];
  let errors = 0;
  let warnings = 0;
  let includes = 0;
  let count = 0;
  let ttlOfDirective: number | undefined;
  let ttlBefore: number | undefined;
  const sets = new Map<string, Building>();
  const seen = new Set<string>();

  yield* readFile({ file, text }, { origin: apex, owner: undefined }, 0);
  const soa = sets.get(`${RRTypes.SOA} ${apex}`);
  if (errors === 0) check(soa);
  return { records: errors === 0 ? [...sets.values()].map(withoutPlace) : [], serial: serialOf(soa?.rdata[0]), findings };

  function* readFile(from: IncludedFile, context: Context, depth: number): Generator<undefined> {
    const entries = zoneFileEntries(from.text, ({ line, column, message }) => complain(from.file, line, message, column));
    let left = RECORDS_A_STEP;
    for (const entry of entries) {
      if (errors >= MAX_ERRORS) return;
      if (--left === 0) {
        yield;
        left = RECORDS_A_STEP;
      }
      const { line, words, hasNoOwner } = entry;
      const [first = ""] = words;
      try {
        if (hasNoOwner || !first.startsWith("$")) addEntry(entry, from.file, context);
        else yield* obey(first.toUpperCase(), entry, from, context, depth);
      } catch (error) {
        if (!(error instanceof NdotsError)) throw error;
        complain(from.file, line, error.message);
      }
    }
  }

  function* obey(
    directive: string,
    { line, words }: ZoneFileEntry,
    from: IncludedFile,
    context: Context,
    depth: number,
  ): Generator<undefined> {
    const [, first = "", second, ...more] = words;
    switch (directive) {
      case "$ORIGIN":
        if (words.length !== 2) throw wrong(`${directive} takes one name, found "${words.slice(1).join(" ")}"`);
        context.origin = nameFromText(first, context.origin);
        return;
      case "$TTL":
        ttlOfDirective = ttlOf(first);
        if (ttlOfDirective === undefined || words.length !== 2)
          throw wrong(`$TTL takes one TTL, as 3600 or 1h30m, found "${words.slice(1).join(" ")}"`);
        return;
      case "$INCLUDE": {
        if (first === "" || more.length > 0)
          throw wrong(`$INCLUDE takes a file and may take an origin, found "${words.slice(1).join(" ")}"`);
        if (include === undefined) throw wrong("$INCLUDE is not allowed here");
        if (depth === MAX_DEPTH) throw wrong(`$INCLUDE goes at most ${MAX_DEPTH} files deep`);
        if (++includes > MAX_INCLUDES) throw wrong(`$INCLUDE is allowed ${MAX_INCLUDES} times`);
        const read = include(unquoted(first), from.file);
        if (typeof read === "string") throw wrong(`$INCLUDE ${first}: ${read}`);
        const origin = second === undefined ? context.origin : nameFromText(second, context.origin);
        yield* readFile(read, { origin, owner: context.owner }, depth + 1);
        return;
      }
      case "$GENERATE": {
        let left = RECORDS_A_STEP;
        for (const made of generated(words.slice(1))) {
          addEntry({ line, hasNoOwner: false, words: made }, from.file, context);
          if (errors >= MAX_ERRORS) return;
          if (--left > 0) continue;
          yield;
          left = RECORDS_A_STEP;
        }
        return;
      }
      default:
        throw wrong(`no such directive: ${words[0]}; known: ${DIRECTIVES}`);
    }
  }

  // [OWNER] [TTL] [CLASS] TYPE RDATA, TTL and class in either order.
  function addEntry({ line, hasNoOwner, words }: ZoneFileEntry, where: string, context: Context): void {
    let at = hasNoOwner ? 0 : 1;
    const owner = hasNoOwner ? context.owner : nameFromText(words[0] ?? "", context.origin);
    if (owner === undefined) throw wrong("the first record names its owner, found a blank");
    context.owner = owner;
    let ttl: number | undefined;
    let hasClass = false;
    for (; at < words.length; at++) {
      const word = words[at] as string;
      const foundClass = hasClass ? undefined : classOf(word);
      if (foundClass !== undefined) {
        if (foundClass !== RRClasses.IN) throw wrong(`the class of a zone is IN, found "${word}"`);
        hasClass = true;
      } else if (ttl === undefined && /^\d/.test(word)) {
        ttl = ttlOf(word);
        if (ttl === undefined) throw wrong(`a TTL is 0 to ${MAX_TTL_SECONDS} seconds, or as 1h30m, found "${word}"`);
      } else break;
    }
    const word = words[at];
    if (word === undefined) throw wrong(`a record is [OWNER] [TTL] [CLASS] TYPE RDATA, found no type`);
    const type = typeOf(word);
    if (type === undefined) throw wrong(`expected a type, as A or TYPE65280, found "${word}"`);
    if (META_TYPES.has(type)) throw wrong(`${typeName(type)} stands in no zone`);
    const fields = words.slice(at + 1);
    const rdata = rdataFromText(type, type === RRTypes.SOA ? fields.map(inSeconds) : fields, context.origin);
    if (ttl !== undefined) ttlBefore = ttl;
    ttl ??= ttlOfDirective ?? (ttlBefore ??= ttlOfSoa(type, rdata));
    add(owner, type, ttl, rdata, where, line);
  }

  function add(owner: Name, type: RRType, ttl: number, rdata: Rdata, where: string, line: number): void {
    if (!isWithin(owner, apex)) {
      warn(where, line, `${formatName(owner)} ${typeName(type)} is not in the zone ${formatName(apex)}; ignored`);
      return;
    }
    if (type === RRTypes.SOA && owner !== apex) throw wrong(`the SOA belongs to ${formatName(apex)}, found it at ${formatName(owner)}`);
    if (++count > maxRecords) {
      errors = MAX_ERRORS; // no more of this
      findings.push({ severity: "error", file: where, line, column: 0, message: `a zone has at most ${maxRecords} records` });
      return;
    }
    const key = `${type} ${owner}`;
    const set = sets.get(key);
    if (set === undefined) {
      sets.set(key, { owner, type, ttl, rdata: [rdata], file: where, line });
      return;
    }
    const record = `${key} ${Buffer.from(rdata).toString("latin1")}`;
    if (set.rdata.length === 1) seen.add(`${key} ${Buffer.from(set.rdata[0] as Rdata).toString("latin1")}`);
    if (seen.has(record)) return; // an rrset has no record twice (RFC 2181 §5)
    if (SINGLE.has(type)) throw wrong(`${formatName(owner)} has one ${typeName(type)}, found another`);
    if (set.ttl !== ttl)
      warn(where, line, `the records of one rrset have one TTL (RFC 2181 §5.2): ${set.ttl} as in line ${set.line}, not ${ttl}`);
    seen.add(record);
    set.rdata.push(rdata);
  }

  function check(soa: Building | undefined): void {
    if (soa === undefined) complain(file, 0, `no SOA record for ${formatName(apex)}`);
    const aliases = new Map([...sets.values()].filter(({ type }) => type === RRTypes.CNAME).map((set) => [set.owner, set]));
    for (const { owner, type, file: where, line } of sets.values()) {
      const alias = aliases.get(owner);
      if (alias === undefined || type === RRTypes.CNAME || BESIDE_CNAME.has(type)) continue;
      const at = `${alias.file === where ? "line" : alias.file} ${alias.line}`;
      complain(where, line, `${formatName(owner)} has a CNAME (${at}) and no other records (RFC 2181 §10.1), found ${typeName(type)}`);
    }
  }

  function complain(where: string, line: number, message: string, column = 0): void {
    if (++errors <= MAX_ERRORS) findings.push({ severity: "error", file: where, line, column, message });
  }

  function warn(where: string, line: number, message: string): void {
    if (++warnings <= MAX_WARNINGS) findings.push({ severity: "warning", file: where, line, column: 0, message });
  }
}

/** Types of which a name has one. */
const SINGLE: ReadonlySet<RRType> = new Set([RRTypes.SOA, RRTypes.CNAME, RRTypes.DNAME]);
/** Types of questions and of messages (RFC 6895 §3.1). */
const META_TYPES: ReadonlySet<RRType> = new Set([
  0,
  RRTypes.OPT,
  RRTypes.TKEY,
  RRTypes.TSIG,
  RRTypes.IXFR,
  RRTypes.AXFR,
  RRTypes.MAILB,
  RRTypes.MAILA,
  RRTypes.ANY,
]);

// A SOA without a TTL has its last field's, and hands it on to the records behind it, as in BIND.
function ttlOfSoa(type: RRType, rdata: Rdata): number {
  if (type !== RRTypes.SOA) throw wrong("no TTL: give one here or in front, or $TTL");
  return Math.min(lastField(rdata, 4), MAX_TTL_SECONDS);
}

function serialOf(soa: Rdata | undefined): number {
  return soa === undefined ? 0 : lastField(soa, 20);
}

// The 32-bit field that begins `bytes` octets before the end.
function lastField(rdata: Rdata, bytes: number): number {
  return Buffer.from(rdata.buffer, rdata.byteOffset, rdata.length).readUInt32BE(rdata.length - bytes);
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

// Seconds, or BIND's units, each at most once in any order: `1h30m`.
function ttlOf(text: string): number | undefined {
  let seconds: number | undefined;
  if (/^\d{1,10}$/.test(text)) seconds = Number(text);
  else if (/^(\d{1,10}[smhdw]){1,5}$/i.test(text)) {
    seconds = 0;
    for (const [, digits, unit = ""] of text.toLowerCase().matchAll(/(\d+)([smhdw])/g))
      seconds += Number(digits) * (UNIT_SECONDS[unit] ?? 0);
  }
  return seconds === undefined || seconds > MAX_TTL_SECONDS ? undefined : seconds;
}

// The SOA's times may have units.
function inSeconds(field: string, index: number): string {
  const seconds = index >= 3 && !/^\d+$/.test(field) ? ttlOf(field) : undefined;
  return seconds === undefined ? field : String(seconds);
}

function unquoted(word: string): string {
  return word.startsWith('"') ? word.slice(1, -1) : word;
}

function withoutPlace({ owner, type, ttl, rdata }: Building): RecordSet {
  return { owner, type, ttl, rdata };
}

function wrong(message: string): NdotsError {
  return new NdotsError("NDOTS_ERR_RDATA", message);
}
