// The portable UDP listener: the contracts, and what only it has.

import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { udpListener } from "../../src/listeners/udp.ts";
import { listenerContract, rig } from "../contracts/listener.ts";
import { udpListenerContract } from "../contracts/udp-listener.ts";
import { needs } from "../helpers/needs.ts";

listenerContract("listeners/udp", udpListener);
udpListenerContract("listeners/udp", udpListener);

describe("listeners/udp: the receive buffer", () => {
  const limit = "/proc/sys/net/core/rmem_max";

  it("is large, or one warning says which sysctl keeps it small (C129)", async function () {
    needs(this, existsSync(limit), `no ${limit}`);
    // Linux doubles what is set and caps what is asked for.
    const isCapped = Number(readFileSync(limit, "utf8")) * 2 < 4 * 1024 * 1024;
    await using dns = await rig(udpListener);
    expect(dns.log.lines.length).to.equal(isCapped ? 1 : 0);
    if (isCapped) expect(dns.log.lines[0]).to.include("net.core.rmem_max");
  });
});
