// The lines of a hosts file → names with their addresses, and addresses with their names. Pure, in steps, so that a list
// of a hundred thousand names does not hold the event loop; called by hosts.ts for its file and for inline entries.

import { isWithin, labelsOf, parentOf, parseName, ROOT, type Name } from "../../dns/name.ts";
import { addressToBytes } from "../../dns/rdata.ts";
import type { Rdata } from "../../dns/records.ts";
import { addressText, reverseName } from "../../dns/reverse.ts";
import { NdotsError } from "../../errors.ts";

/** The addresses of one name, each once, in the order of their lines. */
export interface Addresses {
  readonly v4: readonly Rdata[];
  readonly v6: readonly Rdata[];
}

/** One line, comment and all. */
export interface HostsLine {
  readonly text: string;
  /** Tells what was left out of it. */
  readonly skipped: (what: string) => void;
}

export interface HostsTable {
  /** Wildcards under their own name, `*.example.org.`. */
  readonly names: ReadonlyMap<Name, Addresses>;
  /** Names right below which wildcards stand. */
  readonly wildcardParents: ReadonlySet<Name>;
  /** The names of an address, by its reverse name. */
  readonly reverse: ReadonlyMap<Name, readonly Name[]>;
  /** Addresses of names and names of addresses, as CoreDNS counts them. */
  readonly entries: number;
}

export interface HostsRules {
  /** Names outside are left out. */
  readonly zones: readonly Name[];
  /** Addresses give their names. */
  readonly reverse: boolean;
}

/** Names in one PTR answer: lists that block give thousands to one address, which no answer could hold. */
export const MAX_NAMES_OF_ADDRESS = 1_000;
/** Lines between two steps: about a millisecond. */
const LINES_A_STEP = 500;
const WILDCARD = "\x01*";
const NONE: readonly Rdata[] = Object.freeze([]);
// `::ffff:192.0.2.1` is an IPv4 address (RFC 4291 §2.5.5.2).
const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

/** Reads lines; yields now and then, and returns the table. */
export function* readHosts(lines: Iterable<HostsLine>, { zones, reverse: hasReverse }: HostsRules): Generator<undefined, HostsTable> {
  const names = new Map<Name, Addresses>();
  const wildcardParents = new Set<Name>();
  const reverse = new Map<Name, Name[]>();
  const alone = new Map<string, Addresses>(); // an address that is all that a name has: most share one
  let entries = 0;
  let left = LINES_A_STEP;

  for (const { text, skipped } of lines) {
    if (--left === 0) {
      yield;
      left = LINES_A_STEP;
    }
    const [address = "", ...hosts] = (text.split("#", 1)[0] ?? "").split(/\s+/).filter((field) => field !== "");
    if (address === "") continue;
    const bytes = bytesOf(address);
    if (bytes === undefined) skipped(`"${address}" is not an IP address`);
    else if (hosts.length === 0) skipped(`no name behind ${address}`);
    else for (const host of hosts) add(bytes, host, skipped);
  }
  return { names, wildcardParents, reverse, entries };

  function add(bytes: Rdata, host: string, skipped: HostsLine["skipped"]): void {
    const name = nameOf(host, skipped);
    if (name === undefined || !zones.some((zone) => isWithin(name, zone))) return;
    const known = names.get(name);
    names.set(name, known === undefined ? aloneOf(bytes) : withAddress(known, bytes));
    entries++;
    if (isWildcard(name)) wildcardParents.add(parentOf(name));
    else if (hasReverse) {
      entries++;
      addReverse(bytes, name);
    }
  }

  function addReverse(bytes: Rdata, name: Name): void {
    const reversed = reverseName(addressText(bytes));
    if (reversed === undefined) return;
    const others = reverse.get(reversed);
    if (others === undefined) reverse.set(reversed, [name]);
    else if (others.length < MAX_NAMES_OF_ADDRESS && !others.includes(name)) others.push(name);
  }

  function aloneOf(bytes: Rdata): Addresses {
    const key = Buffer.from(bytes).toString("latin1");
    let addresses = alone.get(key);
    if (addresses === undefined) alone.set(key, (addresses = bytes.length === 4 ? { v4: [bytes], v6: NONE } : { v4: NONE, v6: [bytes] }));
    return addresses;
  }
}

// An interface behind the address (`fe80::1%eth0`) means nothing to others.
function bytesOf(text: string): Rdata | undefined {
  const bytes = addressToBytes(text.split("%", 1)[0] ?? "");
  return bytes?.length === 16 && MAPPED.equals(bytes.subarray(0, MAPPED.length)) ? bytes.subarray(MAPPED.length) : bytes;
}

function nameOf(host: string, skipped: HostsLine["skipped"]): Name | undefined {
  try {
    const name = parseName(host);
    if (name !== ROOT && !(isWildcard(name) && labelsOf(name).length === 1)) return name;
    skipped(`"${host}" is not the name of a host`);
  } catch (error) {
    if (!(error instanceof NdotsError)) throw error;
    skipped(error.message);
  }
  return undefined;
}

function withAddress({ v4, v6 }: Addresses, bytes: Rdata): Addresses {
  return bytes.length === 4 ? { v4: added(v4, bytes), v6 } : { v4, v6: added(v6, bytes) };
}

function added(all: readonly Rdata[], bytes: Rdata): readonly Rdata[] {
  return all.some((other) => Buffer.compare(other, bytes) === 0) ? all : [...all, bytes];
}

export function isWildcard(name: Name): boolean {
  return name.startsWith(WILDCARD);
}

/** What a name has: its own addresses, or those of a wildcard right above it. A name that is written has no wildcard's. */
export function addressesOf({ names }: HostsTable, name: Name): Addresses | undefined {
  return names.get(name) ?? (name === ROOT ? undefined : names.get((WILDCARD + parentOf(name)) as Name));
}

/** Every name of two tables, undefined for one whose answers don't differ. Names for which a wildcard stands are not among them. */
export function* compareNames(before: HostsTable, after: HostsTable): Generator<Name | undefined> {
  for (const [name, addresses] of before.names) yield isSame(addresses, after.names.get(name)) ? undefined : name;
  for (const name of after.names.keys()) yield before.names.has(name) ? undefined : name;
  for (const name of before.wildcardParents) yield after.wildcardParents.has(name) ? undefined : name;
  for (const name of after.wildcardParents) yield before.wildcardParents.has(name) ? undefined : name;
  for (const [name, hosts] of before.reverse) yield hosts.join("") === after.reverse.get(name)?.join("") ? undefined : name;
  for (const name of after.reverse.keys()) yield before.reverse.has(name) ? undefined : name;
}

function isSame(one: Addresses, other: Addresses | undefined): boolean {
  return other !== undefined && isSameList(one.v4, other.v4) && isSameList(one.v6, other.v6);
}

function isSameList(one: readonly Rdata[], other: readonly Rdata[]): boolean {
  return one.length === other.length && one.every((bytes, index) => Buffer.compare(bytes, other[index] as Rdata) === 0);
}
