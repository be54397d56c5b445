// chaos — tells the server's version, host and authors to those who ask in class CH, as BIND began it (RFC 4892).
// Questions of class IN pass, so the answer table may skip it.

import { randomInt } from "node:crypto";
import { hostname } from "node:os";

import { word } from "../../config/arguments.ts";
import { directive, rest, type Options } from "../../config/directive.ts";
import { emptyReply, Rcodes, type Query, type Records } from "../../dns/message.ts";
import { parseName, type Name } from "../../dns/name.ts";
import { txtRdata } from "../../dns/rdata.ts";
import { RRClasses, RRTypes } from "../../dns/records.ts";
import { definePlugin, type Host, type Instance, type Plugin } from "../../plugin.ts";
import { readVersion } from "../../version.ts";

const NAME = "chaos";
/** Octets of a character-string (RFC 1035 §3.3): what is longer is cut. */
const MAX_STRING_BYTES = 255;

const AUTHORS = parseName("authors.bind");
const VERSIONS: ReadonlySet<Name> = new Set([parseName("version.bind"), parseName("version.server")]);
const HOSTS: ReadonlySet<Name> = new Set([parseName("hostname.bind"), parseName("id.server")]);

const plugin: Plugin<Options<readonly string[], Record<never, never>>> = definePlugin({
  name: NAME,
  syntax: directive({ args: { ...rest(word("TEXT")), usage: "[VERSION [AUTHORS...]]" } }),
  setup: ({ args }, host) => setup(args, host),
});
export default plugin;

function setup([version = `ndots-${readVersion()}`, ...given]: readonly string[], host: Host): Instance {
  const authors = given.length === 0 ? ["the authors of ndots"] : [...new Set(given)];
  return {
    transparent: true,
    takesClasses: [RRClasses.CH],
    handle(query, next) {
      if (query.qclass !== RRClasses.CH) return next(query);
      const texts = query.qtype === RRTypes.TXT ? textsAt(query.qname) : undefined;
      if (texts !== undefined) return txt(query, texts);
      // Zones, caches and upstreams behind this are of class IN: they would answer with the wrong records.
      const passes = host.instance("rewrite")?.takesClasses?.includes(RRClasses.CH) === true;
      return passes ? next(query) : emptyReply(Rcodes.REFUSED, NAME);
    },
  };

  function textsAt(qname: Name): readonly string[] | undefined {
    if (VERSIONS.has(qname)) return [version];
    if (HOSTS.has(qname)) return [hostname()];
    return qname === AUTHORS ? rotated(authors) : undefined;
  }
}

function txt({ qname }: Query, texts: readonly string[]): Records {
  const rdata = texts.map((text) => txtRdata(cut(text)));
  return { ...emptyReply(Rcodes.NOERROR, NAME), answer: [{ owner: qname, type: RRTypes.TXT, rrclass: RRClasses.CH, ttl: 0, rdata }] };
}

// No author is always the first.
function rotated(texts: readonly string[]): readonly string[] {
  const start = randomInt(texts.length);
  return [...texts.slice(start), ...texts.slice(0, start)];
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  return bytes.length <= MAX_STRING_BYTES ? text : new TextDecoder().decode(bytes.subarray(0, MAX_STRING_BYTES), { stream: true });
}
