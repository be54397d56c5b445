// The portable UDP listener: the contracts, and what only it has.

import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { warnOfSmallBuffer } from "../../src/listeners/receive-buffer.ts";
import { udpListener } from "../../src/listeners/udp.ts";
import { listenerContract, rig } from "../contracts/listener.ts";
import { udpListenerContract } from "../contracts/udp-listener.ts";
import { recordedLog } from "../helpers/listening.ts";
import { needs } from "../helpers/needs.ts";

listenerContract("listeners/udp", udpListener);
udpListenerContract("listeners/udp", udpListener);

describe("listeners/udp: the receive buffer", () => {
  const limit = "/proc/sys/net/core/rmem_max";

  it("is large, or one warning says which sysctl keeps it small (C129)", async function () {
    needs(this, existsSync(limit), `no ${limit}`);
    const isCapped = Number(readFileSync(limit, "utf8")) < 4 * 1024 * 1024;
    await using dns = await rig(udpListener);
    expect(dns.log.lines.length).to.equal(isCapped ? 1 : 0);
    if (isCapped) expect(dns.log.lines[0]).to.include("net.core.rmem_max");
  });

  it("Linux tells twice what it grants: half of that is judged (C129)", function () {
    needs(this, process.platform === "linux", "not Linux");
    const log = recordedLog();
    const at = { address: "127.0.0.1", port: 53 };
    for (const mebibytes of [8, 6]) warnOfSmallBuffer(log, at, mebibytes * 1024 * 1024);
    expect(log.lines).to.have.length(1);
    expect(log.lines[0]).to.include(" is 3072 KiB, not 4096 KiB");
  });
});
