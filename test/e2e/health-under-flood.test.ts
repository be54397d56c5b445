// Probes while queries come faster than they can be answered: a flood that drops queries must not get the server killed.
// A few seconds each; NDOTS_FLOOD_SECONDS=60 is the long form. Each says how far beyond its capacity the server was.

import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { query } from "../helpers/dns-client.ts";
import { freePort } from "../helpers/free-port.ts";
import { startNdots, startProcess, temporaryFolder } from "../helpers/ndots-process.ts";

const SECONDS = Number(process.env["NDOTS_FLOOD_SECONDS"] ?? 2);
/** As the usual Deployment asks: `timeoutSeconds: 5`. */
const PROBE_TIMEOUT_MS = 5_000;
const PROBE_EVERY_MS = 100;

// A name that only a plugin can answer: the main thread, which answers the probes too, is the one in need.
const COREFILE = `.:{$DNS} {
    bind 127.0.0.1
    health 127.0.0.1:{$HTTP}
    ready 127.0.0.1:{$HTTP}
    prometheus 127.0.0.1:{$HTTP}
    kubernetes cluster.local {
        manifests k8s
    }
    whoami
}
`;
const PACKET = query({ name: "example.org." }).toString("hex");
const SENDERS = 2;

// Sends without pause and reads nothing; tells how many it was.
const FLOOD = `
  const socket = require("node:dgram").createSocket("udp4");
  const [port, seconds, hex] = process.argv.slice(1);
  const packet = Buffer.from(hex, "hex");
  const endMs = performance.now() + seconds * 1000;
  let sent = 0;
  socket.on("error", () => {});
  socket.connect(Number(port), "127.0.0.1", function more() {
    for (let n = 0; n < 100; n++, sent++) socket.send(packet);
    if (performance.now() < endMs) return setImmediate(more);
    console.log("sent " + sent);
    process.exit();
  });`;

interface Probe {
  readonly path: string;
  readonly status: number;
  readonly tookMs: number;
}

for (const listeners of ["auto", "portable"] as const) {
  it(`/health and /ready stay 200 under a flood (-listeners=${listeners})`, async function () {
    const patienceMs = (SECONDS + 20) * 1000;
    this.timeout(patienceMs);
    const [DNS, HTTP] = [await freePort(), await freePort()]; // the program is told by the environment
    using folder = temporaryFolder({ Corefile: COREFILE, "k8s/a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n" });
    const env = { DNS: String(DNS), HTTP: String(HTTP) };
    await using server = startNdots([`-listeners=${listeners}`], { cwd: folder.path, env, patienceMs });
    await server.shows(/^\[INFO\] listening on /m);

    const args = ["-e", FLOOD, String(DNS), String(SECONDS), PACKET];
    const flood = Promise.all(Array.from({ length: SENDERS }, () => sentBy(args, patienceMs)));
    const probes: Probe[] = [];
    let flooding = true;
    void flood.catch(() => undefined).finally(() => (flooding = false)); // it is awaited below
    while (flooding) {
      for (const path of ["/health", "/ready"]) probes.push(await probe(`http://127.0.0.1:${HTTP}`, path));
      await delay(PROBE_EVERY_MS);
    }
    const sent = (await flood).reduce((sum, count) => sum + count);
    const metrics = await (await fetch(`http://127.0.0.1:${HTTP}/metrics`)).text();
    const answered = [...metrics.matchAll(/^coredns_dns_requests_total\{.*\} (\d+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
    const slowest = Math.max(...probes.map(({ tookMs }) => tookMs));
    if (SECONDS > 2) {
      console.log(
        `      ${sent} sent, ${answered} answered: ${(sent / answered).toFixed(1)} × its capacity; slowest probe ${slowest.toFixed(0)} ms`,
      );
    }
    expect(probes.filter(({ status }) => status !== 200)).to.deep.equal([]);
    expect(answered).to.be.greaterThan(0);
    // The server's own queries are lost like those of others, and are only counted.
    expect(metrics).to.match(/^ndots_health_dns_failures_total \d+$/m);
  });
}

async function sentBy(args: readonly string[], patienceMs: number): Promise<number> {
  await using sender = startProcess(process.execPath, args, { patienceMs });
  const { stdout, stderr } = await sender.ended;
  expect(stderr).to.equal("");
  return Number(/^sent (\d+)$/m.exec(stdout)?.[1]);
}

async function probe(base: string, path: string): Promise<Probe> {
  const startMs = performance.now();
  const status = await fetch(base + path, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).then(
    (response) => response.arrayBuffer().then(() => response.status),
    () => 0, // no answer in time
  );
  return { path, status, tookMs: performance.now() - startMs };
}
