// A process without descriptors left (C115).

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { query, tcpConnection, udpAsk } from "../helpers/dns-client.ts";
import { settled, until } from "../helpers/listening.ts";
import { needs, needsPrograms } from "../helpers/needs.ts";

describe("listeners: out of descriptors", () => {
  it("UDP goes on, one line says so, TCP goes on when there are some again (C115)", async function () {
    this.timeout(60_000); // a process that loads from sources, on a machine that may be busy
    needs(this, process.platform === "linux", "needs Linux");
    needsPrograms(this, "prlimit");
    const program = fileURLToPath(new URL("../helpers/listening-process.ts", import.meta.url));
    // c8 would add up the same modules under two translations, and count lines as missed that are not.
    const env = { ...process.env, NODE_V8_COVERAGE: undefined }; // Node adds what is left out
    const child = spawn(process.execPath, ["--import", "tsx", program], { env, stdio: ["pipe", "pipe", "inherit"] });
    try {
      const lines: string[] = [];
      createInterface(child.stdout).on("line", (line) => lines.push(line));
      await until(() => lines.length > 0, "it has started", 20_000);
      const { udp, tcp, descriptors } = JSON.parse(lines.shift() ?? "");
      execFileSync("prlimit", ["--pid", String(child.pid), `--nofile=${descriptors + 10}`]);

      // Clients keep coming: the look at the descriptors may fall between those that were closed and the next.
      const connections: Awaited<ReturnType<typeof tcpConnection>>[] = [];
      for (let wave = 0; wave < 8 && lines.length === 0; wave++) {
        connections.push(...(await Promise.all(Array.from({ length: 60 }, () => tcpConnection(tcp)))));
        expect(await udpAsk(udp, query())).to.have.length(29);
        await until(() => lines.length > 0, "it says so", 2_500).catch(() => undefined);
      }
      await until(() => lines.length > 0, "it says so");
      expect(lines.join("\n")).to.match(
        /^error: TCP 127\.0\.0\.1 port \d+: can't accept connections \(EMFILE\), \d+ are open; raise .*ulimit -n\)$/,
      );

      for (const connection of connections) connection.close();
      await eventually(() => settled(tcp));
      expect(await udpAsk(udp, query())).to.have.length(29);
      expect(lines, "one line in 10 s").to.have.length(1);
    } finally {
      child.stdin.end();
      const overdue = setTimeout(() => child.kill("SIGKILL"), 5_000);
      if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once("exit", resolve));
      clearTimeout(overdue);
    }
  });
});

// Until the server has seen the clients leave, it turns new ones away.
async function eventually(attempt: () => Promise<void>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return await attempt();
    } catch {
      // again
    }
  }
  return attempt();
}
