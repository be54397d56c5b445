// Forwarding to real name servers: what they say is what the client gets, by UDP and TCP, at once and from memory.

import { expect } from "chai";
import { ask, type Result } from "../../src/client.ts";
import { startServer, type RunningServer } from "../../src/index.ts";
import { needsPrograms } from "../helpers/needs.ts";
import { programs, startNameServer, type NameServer } from "../helpers/name-servers.ts";
import { temporaryFolder, type Folder } from "../helpers/ndots-process.ts";

const QUESTIONS: readonly (readonly [rule: string, name: string, type: string])[] = [
  ["addresses", "www.peer.test", "A"],
  ["an IPv6 address", "six.peer.test", "AAAA"],
  ["NODATA", "www.peer.test", "AAAA"],
  ["NXDOMAIN", "nosuch.peer.test", "A"],
  ["a CNAME with its target", "alias.peer.test", "A"],
  ["a CNAME alone", "alias.peer.test", "CNAME"],
  ["more than UDP takes", "long.peer.test", "TXT"],
  ["a mail exchanger", "mail.peer.test", "MX"],
  ["SRV", "_http._tcp.peer.test", "SRV"],
  ["an unknown type", "odd.peer.test", "TYPE65280"],
  ["another spelling", "WwW.PeeR.tEsT", "A"],
];

// Servers turn the records of an rrset as they like.
function said({ rcode, answer, authority }: Result): unknown {
  const lower = (lines: readonly string[]): string[] =>
    lines.map((line) => line.replace(/^\S+/, (owner) => owner.toLowerCase())).toSorted();
  return { rcode, answer: lower(answer), authority: lower(authority) };
}

function withoutTtl(result: Result): unknown {
  const cut = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/ \d+ IN /, " IN "));
  return said({ ...result, answer: cut(result.answer), authority: cut(result.authority) });
}

for (const program of programs) {
  describe(`conformance: ${program.name} as upstream`, () => {
    let folder: Folder;
    let upstream: NameServer;
    let plain: RunningServer;
    let cached: RunningServer;

    before(async function () {
      needsPrograms(this, program.program);
      folder = temporaryFolder();
      upstream = await startNameServer(program, folder.path);
      const to = `${upstream.address}:${upstream.port}`;
      plain = await startServer({ corefile: `. {\n  forward . ${to}\n}`, port: 0 });
      cached = await startServer({ corefile: `. {\n  cache 3600\n  forward . ${to}\n}`, port: 0 });
    });
    after(async () => {
      await plain?.[Symbol.asyncDispose]();
      await cached?.[Symbol.asyncDispose]();
      await upstream?.[Symbol.asyncDispose]();
      folder?.[Symbol.dispose]();
    });

    for (const [rule, name, type] of QUESTIONS) {
      it(`${rule}: ${name} ${type}`, async () => {
        for (const transport of ["udp", "tcp"] as const) {
          const direct = await ask(upstream, name, type, { transport });
          const through = await ask(plain.address, name, type, { transport });
          expect(through.flags, "RA").to.include("ra");
          expect(through.flags.includes("tc"), "TC").to.equal(direct.flags.includes("tc"));
          expect(through.flags.includes("aa"), "AA").to.equal(direct.flags.includes("aa"));
          if (!direct.flags.includes("tc")) expect(said(through)).to.deep.equal(said(direct));
        }
      });

      it(`${rule}, from memory: ${name} ${type}`, async () => {
        const direct = await ask(upstream, name, type, { transport: "tcp" });
        await ask(cached.address, name, type, { transport: "tcp" });
        for (const transport of ["tcp", "udp"] as const) {
          const again = await ask(cached.address, name, type, { transport });
          if (again.flags.includes("tc")) continue;
          expect(withoutTtl(again)).to.deep.equal(withoutTtl(direct));
          expect(again.flags, "RA").to.include("ra");
          const isRemembered = direct.answer.length > 0 || program.deniesWithoutSoa !== true;
          expect(again.flags.includes("aa"), "AA").to.equal(!isRemembered && direct.flags.includes("aa"));
        }
      });
    }
  });
}
