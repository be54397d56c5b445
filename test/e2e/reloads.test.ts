// Many reloads of a program that is asked all the time: nothing is lost, and nothing is left behind by the configurations
// that are gone. NDOTS_TEST_ROUNDS says how many reloads; 8 in CI. With NDOTS_TEST_FIGURES set it prints what it measured.

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { headerOf, query, tcpConnection, udpClient, type Target } from "../helpers/dns-client.ts";
import { until } from "../helpers/listening.ts";
import { needs } from "../helpers/needs.ts";
import { measure, startMeasured } from "../helpers/measured-process.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";
import { manifest } from "./live.ts";

const ROUNDS = Number(process.env["NDOTS_TEST_ROUNDS"] ?? 8);
/** Until compiled code, caches and thread stacks are there. */
const WARM_UP_ROUNDS = 6;
const ROUND_MS = 20_000;
/** `health` opens its socket a second after the start. */
const STEADY_MS = 1_500;
/** As long as resolvers wait. */
const LOST_MS = 5_000;
const WEB = "web.default.svc.cluster.local.";
const MIB = 1024 * 1024;
/** Of heap and buffers: optimised code comes and goes, and of a thousand reloads each leaves 3 KiB. */
const GROWTH_BYTES = 5 * MIB;
/** Threads that have just ended; and koffi keeps some 50 KiB of each that has, four in a reload. */
const RSS_GROWTH_BYTES = (32 + ROUNDS / 4) * MIB;

/** Every other configuration has a block, a port, a thread and a plugin more, and another TTL. */
function corefile(round: number): string {
  const isOdd = round % 2 === 1;
  const block = [
    "bind 127.0.0.1",
    `multisocket ${isOdd ? 3 : 2}`,
    "errors",
    ...(isOdd ? ["loadbalance"] : []),
    "health 127.0.0.1:0",
    "ready 127.0.0.1:0",
    "prometheus 127.0.0.1:0",
    `kubernetes cluster.local in-addr.arpa {\n manifests k8s\n ttl ${5 + (round % 50)}\n }`,
  ];
  const more = isOdd ? "example.org:0 {\n bind 127.0.0.2\n whoami\n}\n" : "";
  return `.:0 {\n${block.map((line) => `  ${line}\n`).join("")}}\n${more}`;
}

describe("C120: reloads under load", function () {
  this.timeout(60_000 + (ROUNDS + WARM_UP_ROUNDS) * ROUND_MS);

  it(`${ROUNDS} of them lose no query, and leave no descriptor, thread, timer or memory behind`, async function () {
    needs(this, process.platform === "linux", "needs /proc");
    using folder = temporaryFolder({ Corefile: corefile(0), "k8s/web.yaml": manifest("web", "10.0.5.1") });
    const patienceMs = 60_000 + (ROUNDS + WARM_UP_ROUNDS) * ROUND_MS;
    await using running = startMeasured([], { cwd: folder.path, patienceMs });
    const [, port] = await running.shows(/listening on 127\.0\.0\.1:(\d+)/);
    const target = { address: "127.0.0.1", port: Number(port) };
    let round = 0;
    const reload = async (): Promise<void> => {
      round++;
      const next = join(folder.path, "next");
      writeFileSync(next, corefile(round));
      renameSync(next, join(folder.path, "Corefile"));
      running.child.kill("SIGUSR1");
      await until(() => running.stdout().split("Reloading complete").length - 1 === round, `reload ${round}`, ROUND_MS);
    };
    const reloadsUnderLoad = async (times: number): Promise<readonly Count[]> => {
      let isOver = false;
      const asking = [askOverUdp, askOverTcp, askOverNewTcp].map((ask) => ask(target, () => isOver));
      for (let time = 0; time < times; time++) await reload();
      isOver = true;
      return Promise.all(asking);
    };
    await reloadsUnderLoad(WARM_UP_ROUNDS);
    const before = await measure(running, STEADY_MS);
    const counts = await reloadsUnderLoad(2 * Math.ceil(ROUNDS / 2)); // as many of each configuration
    const after = await measure(running, STEADY_MS);

    if (process.env["NDOTS_TEST_FIGURES"] !== undefined) console.log({ before, after, counts });
    for (const { asked, answered } of counts) {
      expect(asked).to.be.above(ROUNDS);
      expect(answered).to.equal(asked);
    }
    expect(running.stdout()).to.not.match(/\[ERROR\]|\[WARNING\]/);
    for (const kind of ["descriptors", "threads", "resources"] as const) expect(after[kind], kind).to.deep.equal(before[kind]);
    for (const kind of ["heap", "external"] as const) expect(after[kind] - before[kind], kind).to.be.below(GROWTH_BYTES);
    expect(after.rss - before.rss, "rss").to.be.below(RSS_GROWTH_BYTES);
    running.child.kill("SIGTERM");
    expect(await running.ended).to.include({ code: 0, stderr: "" });
  });
});

interface Count {
  readonly asked: number;
  readonly answered: number;
}

async function askOverUdp(target: Target, isOver: () => boolean): Promise<Count> {
  const client = await udpClient(target);
  const count = await askUntil(isOver, async (packet) => {
    client.send(packet);
    return client.receive(LOST_MS);
  });
  client.close();
  return count;
}

async function askOverTcp(target: Target, isOver: () => boolean): Promise<Count> {
  const connection = await tcpConnection(target);
  const count = await askUntil(isOver, async (packet) => {
    connection.send(packet);
    return connection.receive(LOST_MS);
  });
  connection.close();
  return count;
}

async function askOverNewTcp(target: Target, isOver: () => boolean): Promise<Count> {
  return askUntil(isOver, async (packet) => {
    const connection = await tcpConnection(target);
    connection.send(packet);
    const answer = await connection.receive(LOST_MS);
    connection.close();
    return answer;
  });
}

// One question after the other, with a pause that leaves the machine to the reloads: right is the Service's only address.
async function askUntil(isOver: () => boolean, ask: (packet: Buffer) => Promise<Buffer | undefined>): Promise<Count> {
  let [asked, answered] = [0, 0];
  while (!isOver()) {
    const id = ++asked & 0xffff;
    await pause(1);
    const answer = await ask(query({ name: WEB, id }));
    if (answer !== undefined && headerOf(answer).id === id && answer.subarray(-4).equals(Buffer.from([10, 0, 5, 1]))) answered++;
  }
  return { asked, answered };
}
