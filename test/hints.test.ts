// What `ndots check` tells beyond faults.

import { expect } from "chai";
import { formatFinding } from "../src/errors.ts";
import { silentLog } from "../src/log.ts";
import { checkConfiguration } from "../src/server.ts";

async function told(corefile: string): Promise<string[]> {
  const findings = await checkConfiguration({ corefile, file: "Corefile", port: 0, address: "", log: silentLog, embedded: true, env: {} });
  return findings.map(formatFinding);
}

describe("hints", () => {
  const block = (cidr: string, forward: string): string =>
    `. {\n  kubernetes cluster.local {\n    ${cidr}\n  }\n  forward . 192.0.2.53 {\n    ${forward}\n  }\n}\n`;

  it("ipv6 off, where Services have IPv4 addresses only", async () => {
    const [hint, ...more] = await told(block("service_cidr 10.96.0.0/12", ""));
    expect(hint).to.match(/^Corefile:5:3: warning: forward: service_cidr is IPv4 only: .*"ipv6 off"/);
    expect(more).to.deep.equal([]);
  });

  for (const [rule, corefile] of [
    ["not where they may have IPv6 ones", block("service_cidr 10.96.0.0/12 fd00::/112", "")],
    ["not where it is not said which they have", block("ttl 30", "")],
    ["not where it is said", block("service_cidr 10.96.0.0/12", "ipv6 off")],
    ["nor where it is denied", block("service_cidr 10.96.0.0/12", "ipv6 on")],
  ] as const) {
    it(rule, async () => expect(await told(corefile)).to.deep.equal([]));
  }
});
