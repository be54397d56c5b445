// The program ends when it is told to, also while all its threads are busy: `node dist/cli.js` under a flood of hits and
// misses from another process, whose sockets the kernel spreads over the threads.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { query } from "../helpers/dns-client.ts";
import { startNdots, temporaryFolder, type Running } from "../helpers/ndots-process.ts";

const MANIFEST = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.0.0.80, ports: [{ name: http, port: 80 }] }
`;
const COREFILE = `. {
    bind 127.0.0.1
    multisocket 4
    kubernetes cluster.local {
        manifests .
        pods insecure
    }
}
`;
const STARTED = /^\[INFO\] listening on 127\.0\.0\.1:(\d+) for UDP and TCP: (.*)$/m;
/** The drain of a server that is asked all the time takes its 5 s, a busy machine some more. */
const PATIENCE_MS = 30_000;

// Says when its sockets have had answers; then it goes on, so that the threads are never idle.
const FLOOD = `
  const [port, ...packets] = process.argv.slice(1);
  const bytes = packets.map((hex) => Buffer.from(hex, "hex"));
  let unanswered = 16;
  for (let count = unanswered; count > 0; count--) {
    const socket = require("node:dgram").createSocket("udp4");
    socket.on("error", () => {});
    socket.once("message", () => { if (--unanswered === 0) console.log("flooding"); });
    socket.on("message", () => {});
    socket.connect(Number(port), "127.0.0.1", () => {
      const send = () => { for (let burst = 0; burst < 20; burst++) for (const packet of bytes) socket.send(packet, () => {}); setTimeout(send, 1); };
      send();
    });
  }`;

describe("a server whose four threads are busy (C117)", function () {
  this.timeout(2 * PATIENCE_MS);

  it("ends on SIGTERM with 0", async () => {
    await underLoad(async (running) => {
      running.child.kill("SIGTERM");
      expect(await running.ended).to.include({ code: 0, signal: null, stderr: "" });
    });
  });

  it("ends on a second SIGTERM at once, with 143", async () => {
    await underLoad(async (running) => {
      running.child.kill("SIGTERM");
      await running.shows(/SIGTERM: Shutting down/);
      running.child.kill("SIGTERM");
      expect(await running.ended).to.include({ code: 143, signal: null, stderr: "" });
    });
  });
});

async function underLoad(test: (running: Running) => Promise<void>): Promise<void> {
  using folder = temporaryFolder({ Corefile: COREFILE, "web.yaml": MANIFEST });
  await using running = startNdots(["-conf", "Corefile", "-p", "0"], { cwd: folder.path, patienceMs: PATIENCE_MS });
  const [, port, found] = await running.shows(STARTED);
  if (process.platform === "linux") expect(found).to.match(/^4 UDP threads/);
  const flood = startFlood(port as string);
  try {
    const [said] = (await once(flood.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    expect(said.toString()).to.equal("flooding\n");
    await test(running);
  } finally {
    flood.kill("SIGKILL");
    await once(flood, "exit");
  }
}

function startFlood(port: string): ChildProcess {
  const names = ["web.default.svc.cluster.local.", "no-web.default.svc.cluster.local.", "1-2-3-4.default.pod.cluster.local."];
  const packets = names.map((name) => query({ name }).toString("hex"));
  return spawn(process.execPath, ["-e", FLOOD, port, ...packets], { stdio: ["ignore", "pipe", "inherit"] });
}
