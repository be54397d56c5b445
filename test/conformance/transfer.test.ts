// Zone transfers with BIND as the peer, both ways: it is our secondary, which NOTIFY reaches, and our primary.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { startServer, type RunningServer } from "../../src/index.ts";
import { ask } from "../../src/testing.ts";
import { freePort } from "../helpers/free-port.ts";
import { needsPrograms } from "../helpers/needs.ts";

const WITHIN_MS = 15_000;

describe("zone transfers with BIND", function () {
  this.timeout(2 * WITHIN_MS);
  let folder: string;
  let named: ChildProcess;
  let port: number;
  let ours: number;
  let server: RunningServer | undefined;

  before(async function () {
    needsPrograms(this, "named");
    folder = mkdtempSync(join(tmpdir(), "ndots-named-"));
    [port, ours] = [await freePort(), await freePort()];
    writeFileSync(join(folder, "theirs.zone"), zone(1, "192.0.2.1"));
    const options = `directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; recursion no;`;
    writeFileSync(
      join(folder, "named.conf"),
      `options { ${options} allow-transfer { any; }; notify no; session-keyfile "${folder}/key"; };
      controls { };
      zone "theirs.example" { type primary; file "theirs.zone"; };
      zone "ours.example" { type secondary; primaries port ${ours} { 127.0.0.1; }; allow-notify { 127.0.0.1; }; };`,
    );
    // First: BIND asks a primary that it did not reach again after ten minutes.
    const corefile = `ours.example theirs.example {
      file ${join(folder, "ours.zone")} ours.example {
        reload 100ms
      }
      secondary theirs.example {
        transfer from 127.0.0.1:${port}
      }
      transfer {
        to 127.0.0.1:${port}
      }
    }`;
    writeFileSync(join(folder, "ours.zone"), zone(1, "192.0.2.2"));
    server = await startServer({ corefile, address: "127.0.0.1", port: ours });
    named = spawn("named", ["-g", "-n", "1", "-c", join(folder, "named.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    named.stderr?.on("data", (text: Buffer) => (log += text.toString()));
    await until(
      () => Promise.resolve(log.includes(" running")),
      () => log,
    );
  });

  after(async () => {
    await server?.close();
    if (named === undefined) return;
    const ended = once(named, "exit");
    named.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  it("fetches a zone from it, hands one out to it, and tells it of a change", async () => {
    await until(async () => (await address(ours, "www.theirs.example")) === "192.0.2.1");
    await until(async () => (await address(port, "www.ours.example")) === "192.0.2.2");
    const { answer } = await ask({ address: "127.0.0.1", port }, "svc.ours.example", "HTTPS");
    expect(answer).to.deep.equal(['svc.ours.example. 60 IN HTTPS 1 . alpn="h2" port=8443']);
    writeFileSync(join(folder, "ours.zone"), zone(2, "192.0.2.3"));
    await until(async () => (await address(port, "www.ours.example")) === "192.0.2.3"); // its refresh is an hour away
  });

  // Two hundred kilobytes: a transfer of several messages.
  function zone(serial: number, www: string): string {
    return `$TTL 60\n@ SOA ns hostmaster ${serial} 3600 3600 86400 30\n@ NS ns\nns A 192.0.2.53\nwww A ${www}
svc HTTPS 1 . alpn=h2 port=8443\n$GENERATE 1-3000 h$ TXT "${"x".repeat(40)}"\n`;
  }

  async function address(at: number, name: string): Promise<string | undefined> {
    return (await ask({ address: "127.0.0.1", port: at }, name, "A")).addresses[0];
  }

  async function until(isSo: () => Promise<boolean>, why: () => string = () => "in time"): Promise<void> {
    const deadlineMs = performance.now() + WITHIN_MS;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) throw new Error(`not so: ${why()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }
});
