// A spike of questions whose names nobody has asked before (coredns#2593, where one took the memory with it): the program
// has a small heap, and holds no more of it afterwards.

import { createSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "chai";
import { query, tcpConnection, udpAsk, type Target } from "../helpers/dns-client.ts";
import { until } from "../helpers/listening.ts";
import { measure, startMeasured } from "../helpers/measured-process.ts";
import { needs } from "../helpers/needs.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { COREFILE, manifest } from "./live.ts";

const SOCKETS = 16;
const CONNECTIONS = 16;
const NAMES = 20_000;
const WARM_UP_NAMES = 3_000;
/** Handed to the sockets at once. */
const BURST = 256;
const MIB = 1024 * 1024;
/** 10 MiB of it are the program's own. */
const HEAP_MIB = 20;
/** 75 bytes for each name. */
const GROWTH_BYTES = 1.5 * MIB;
const WEB = "web.default.svc.cluster.local.";

describe("a spike of names that are not there (C125, coredns#2593)", function () {
  this.timeout(120_000);

  for (const listeners of ["auto", "portable"]) {
    it(`is answered within bounded memory, and leaves none of it taken (-listeners=${listeners})`, async function () {
      needs(this, process.platform === "linux", "needs /proc");
      using folder = temporaryFolder({
        Corefile: COREFILE.replace("errors", "errors\n    search default"),
        "k8s/web.yaml": manifest("web", "10.0.5.1"),
      });
      const nodeOptions = [`--max-old-space-size=${HEAP_MIB}`];
      await using running = startMeasured([`-listeners=${listeners}`], { cwd: folder.path, nodeOptions, patienceMs: 100_000 });
      const [, port] = await running.shows(/listening on 127\.0\.0\.1:(\d+)/);
      const target = { address: "127.0.0.1", port: Number(port) };
      await spike(target, WARM_UP_NAMES);
      const before = await measure(running);
      await spike(target, NAMES);
      let answer: Buffer | undefined; // the first ones may not fit into the socket's buffer beside the spike
      for (let tries = 0; tries < 20 && answer === undefined; tries++) answer = await udpAsk(target, query({ name: WEB }));
      expect(answer?.subarray(-4)).to.deep.equal(Buffer.from([10, 0, 5, 1]));
      const after = await measure(running);
      const [, peak] = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8")) ?? [];
      if (process.env["NDOTS_TEST_FIGURES"] !== undefined) console.log({ before, after, peakMiB: Number(peak) / 1024 });
      expect(after.heap - before.heap).to.be.below(GROWTH_BYTES);
      expect(after.external - before.external).to.be.below(GROWTH_BYTES);
      expect(after.descriptors).to.deep.equal(before.descriptors);
      running.child.kill("SIGTERM");
      expect(await running.ended).to.include({ code: 0, stderr: "" });
    });
  }
});

/** A third each in the cluster's zone, below a Service, and somewhere else. */
function randomQuery(): Buffer {
  const label = randomBytes(12).toString("hex");
  const below = ["svc.cluster.local.", WEB, "example.org."][(label.codePointAt(0) ?? 0) % 3];
  return query({ name: `${label}.default.${below}`, edns: { udpSize: 1232 } });
}

// As fast as they can be sent over UDP, whatever is answered; all answers are read over TCP.
async function spike(target: Target, names: number): Promise<void> {
  const sockets = Array.from({ length: SOCKETS }, () => createSocket("udp4"));
  for (const socket of sockets) await new Promise<void>((resolve) => socket.connect(target.port, target.address, resolve));
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => tcpConnection(target)));
  let [asked, answered] = [0, 0];
  for (let sent = 0; sent < names; sent += BURST) {
    for (let nth = 0; nth < BURST; nth++) sockets[nth % SOCKETS]?.send(randomQuery(), () => undefined);
    for (const connection of connections) {
      connection.send(randomQuery());
      asked++;
      void connection.receive(20_000).then((answer) => (answered += answer === undefined ? 0 : 1));
    }
    await nextTurn();
  }
  await until(() => answered === asked, "all is answered over TCP", 30_000);
  for (const connection of connections) connection.close();
  for (const socket of sockets) socket.close();
}
