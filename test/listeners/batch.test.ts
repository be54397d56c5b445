// The batch listener: the contracts, and what only it has. Threads run the built code, as users do.

import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Hit } from "../../src/answers/answer-table.ts";
import type { Exchange } from "../../src/dns/question.ts";
import type { ListenAddress } from "../../src/listeners/listener.ts";
import { Rcodes } from "../../src/dns/message.ts";
import { listenerContract, rig, type ListenerFactory } from "../contracts/listener.ts";
import { udpListenerContract } from "../contracts/udp-listener.ts";
import { engineRig, needNative, sharedZone, wayward } from "../helpers/batch.ts";
import { built } from "../helpers/built.ts";
import { headerOf, query, udpAsk, udpClient } from "../helpers/dns-client.ts";
import { fakeResponder, until } from "../helpers/listening.ts";
import { needs, needsPrograms, needsRoot } from "../helpers/needs.ts";

const DROPPED = "ndots_dropped_packets_total";
const { batchListener } = await built<typeof import("../../src/listeners/batch.ts")>("listeners/batch");
const native = await needNative();
const run = promisify(execFile);

const create: ListenerFactory = (options) => batchListener({ ...options, native });

listenerContract("listeners/batch", create);
udpListenerContract("listeners/batch", create);
listenerContract("listeners/batch, four threads", (options) => batchListener({ ...options, native, threads: 4 }));

const ZONE = ["example.org. 30 SOA ns.example.org. host.example.org. 1 7200 1800 86400 30", "www.example.org. 30 A 192.0.2.1"];

describe("listeners/batch: hits", () => {
  it("what the table knows never reaches the main thread; what it does not, does", async () => {
    const zone = await sharedZone("example.org", ZONE);
    await using dns = await engineRig({ addresses: [zone] });
    const asker = await udpClient(dns.listeners[0]?.bound ?? { address: "", port: 0 });
    const rows = [
      { name: "www.example.org.", id: 1, counts: [1, 1, 0, 0], rcode: Rcodes.NOERROR },
      { name: "wWw.eXample.org.", id: 2, counts: [1, 1, 0, 0], rcode: Rcodes.NOERROR },
      { name: "no.example.org.", id: 3, counts: [1, 0, 1, 0], rcode: Rcodes.NXDOMAIN },
      { name: "www.example.net.", id: 4, counts: [1, 0, 0, 0], rcode: Rcodes.NOERROR }, // from the responder
    ];
    for (const { name, id, counts, rcode } of rows) {
      asker.send(query({ name, id }));
      const header = headerOf((await asker.receive()) as Buffer);
      expect({ id: header.id, counts: header.counts, rcode: header.rcode }).to.deep.equal({ id, counts, rcode });
    }
    expect(dns.responder.asked.map(({ qname }) => qname)).to.deep.equal(["www.example.net."]);
    expect(dns.listeners[0]?.received).to.equal(4);
    asker.close();
  });

  it("each address answers from its own table, on one thread", async () => {
    const [one, two] = [
      await sharedZone("example.org", ZONE),
      await sharedZone(
        "example.net",
        ZONE.map((line) => line.replaceAll(".org", ".net")),
      ),
    ];
    await using dns = await engineRig({ addresses: [one, { ...two, address: "::1" }, { ...one, address: "127.0.0.2" }] });
    const counts: number[][] = [];
    for (const { bound } of dns.listeners) {
      for (const name of ["www.example.org.", "www.example.net."]) {
        counts.push([headerOf((await udpAsk(bound, query({ name }))) as Buffer).counts[1] ?? -1, dns.responder.asked.length]);
      }
    }
    expect(counts).to.deep.equal([
      [1, 0],
      [0, 1],
      [0, 2],
      [1, 2],
      [1, 2],
      [0, 3],
    ]);
    expect(one.readers).to.equal(1); // two addresses share one reader
    await dns.engine.stop(0);
    expect([one.readers, two.readers]).to.deep.equal([0, 0]);
  });

  it("many packets at once are all answered, on several sockets of a thread", async () => {
    const zone = await sharedZone("example.org", ZONE);
    await using dns = await engineRig({ addresses: [zone, { ...zone, address: "127.0.0.2" }] });
    const askers = await Promise.all(dns.listeners.map(({ bound }) => udpClient(bound)));
    for (let id = 0; id < 200; id++) for (const asker of askers) asker.send(query({ name: "www.example.org.", id }));
    for (const asker of askers) {
      const ids = new Set<number>();
      for (let count = 0; count < 200; count++) ids.add(headerOf((await asker.receive()) as Buffer).id);
      expect(ids.size).to.equal(200);
      asker.close();
    }
  });

  it("observers are told of hits, by the main thread", async () => {
    const zone = await sharedZone("example.org", ZONE, true);
    const seen: object[] = [];
    const responder = {
      ...fakeResponder(),
      observed({ remoteAddress, family, inAt, inEnd, localPort }: Exchange, { length, rcode, answerCount }: Hit, durationMs: number) {
        seen.push({ remoteAddress, family, bytes: inEnd - inAt, localPort, length, rcode, answerCount, soon: durationMs < 1000 });
      },
    };
    await using dns = await engineRig({ addresses: [{ ...zone, address: "", responder }] });
    const { port } = dns.listeners[0]?.bound ?? { port: 0 };
    for (const address of ["127.0.0.1", "::1"]) await udpAsk({ address, port }, query({ name: "www.example.org." }));
    await until(() => seen.length === 2, "both are told");
    const common = { bytes: 33, localPort: port, length: 49, rcode: 0, answerCount: 1, soon: true };
    expect(seen).to.deep.equal([
      { remoteAddress: "127.0.0.1", family: 4, ...common },
      { remoteAddress: "::1", family: 6, ...common },
    ]);
  });

  it("a look-up that fails is the chain's, is counted and said once, and harms no other", async () => {
    await using dns = await engineRig({ worker: wayward.worker, addresses: [wayward] });
    const { bound } = dns.listeners[0] ?? { bound: { address: "", port: 0 } };
    for (let id = 1; id <= 3; id++)
      expect(headerOf((await udpAsk(bound, query({ name: "fault.example.org.", id }))) as Buffer).id).to.equal(id);
    await until(() => dns.metrics.count("ndots_listener_faults_total", "") === 3, "they are counted");
    expect(dns.log.lines.filter((line) => line.includes("a look-up that fails"))).to.have.length(1);
    expect(dns.responder.asked).to.have.length(3);
  });
});

describe("listeners/batch: the address that was asked", () => {
  for (const address of ["", "0.0.0.0"]) {
    for (const hit of [true, false]) {
      it(`a ${hit ? "hit" : "miss"} through ${address === "" ? "the wildcard" : address} leaves from it`, async () => {
        const zone = await sharedZone("example.org", ZONE);
        await using dns = await engineRig({ addresses: [{ address, ...(hit ? zone : {}) }] });
        const { port } = dns.listeners[0]?.bound ?? { port: 0 };
        for (const asked of ["127.0.0.2", "127.8.8.8", ...(address === "" ? ["::1"] : [])]) {
          expect(await answersFrom(asked, port)).to.equal(asked);
        }
      });
    }
  }

  for (const address of ["", "0.0.0.0"]) {
    it(`what is asked by broadcast or multicast through ${address === "" ? "the wildcard" : address} is answered from an address of this machine`, async () => {
      const zone = await sharedZone("example.org", ZONE);
      await using dns = await engineRig({ addresses: [{ address, ...zone }] });
      const { port } = dns.listeners[0]?.bound ?? { port: 0 };
      // Every node is in ff02::1 on each interface that does multicast; loopback does none.
      const multicast = linkLocals().map((own) => [own.replace(/^.*%/, "ff02::1%"), own]);
      const rows = { "127.255.255.255": "127.0.0.1", ...(address === "" ? Object.fromEntries(multicast) : {}) };
      for (const [asked, from] of Object.entries(rows)) {
        for (const name of ["www.example.org.", "www.example.net."]) expect(await answersFrom(asked, port, name)).to.equal(from);
      }
      await dns.engine.stop(0);
      expect(dns.metrics.count(DROPPED, "send_enetunreach") + dns.metrics.count(DROPPED, "send_einval")).to.equal(0);
    });
  }

  it("so it is for every address of this machine", async () => {
    await using dns = await engineRig({ addresses: [{ address: "" }] });
    const { port } = dns.listeners[0]?.bound ?? { port: 0 };
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address, scopeid } of own) if (!scopeid) expect(await answersFrom(address, port)).to.equal(address);
  });

  it("a promised answer leaves from it too", async () => {
    await using dns = await engineRig({ addresses: [{ address: "" }] });
    const { port } = dns.listeners[0]?.bound ?? { port: 0 };
    const from = answersFrom("127.0.0.3", port, "slow.example.org.");
    await until(() => dns.responder.waiting.length === 1, "it waits");
    dns.responder.waiting[0]?.answer();
    expect(await from).to.equal("127.0.0.3");
  });

  it("a link-local address answers on its own interface", async function () {
    needsRoot(this);
    needsPrograms(this, "ip");
    const address = "fe80::5:3";
    const added = await run("ip", ["addr", "add", `${address}/64`, "dev", "lo", "nodad"]).catch(() => undefined);
    needs(this, added !== undefined, "lo takes no link-local address");
    try {
      await using dns = await engineRig({ addresses: [{ address: "" }] });
      const { port } = dns.listeners[0]?.bound ?? { port: 0 };
      expect(await answersFrom(`${address}%lo`, port)).to.equal(`${address}%lo`);
      expect(dns.responder.asked[0]?.remoteAddress).to.equal(`${address}%lo`);
    } finally {
      await run("ip", ["addr", "del", `${address}/64`, "dev", "lo"]);
    }
  });
});

function linkLocals(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, own = []]) =>
    own.filter(({ address, internal }) => !internal && address.startsWith("fe80:")).map(({ address }) => `${address}%${name}`),
  );
}

// The address from which an answer comes.
async function answersFrom(address: string, port: number, name = "www.example.org."): Promise<string> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  try {
    return await new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer from ${address}`)), 2000);
      socket.once("error", reject).once("message", (_packet, from) => {
        clearTimeout(late);
        resolve(from.address);
      });
      socket.bind(() => {
        if (address.endsWith(".255")) socket.setBroadcast(true);
        socket.send(query({ name }), port, address);
      });
    });
  } finally {
    socket.close();
  }
}

describe("listeners/batch: bounds", () => {
  const odd = { "that ask nothing sound": { flags: 0x7800 }, "from the port they go to": { ownPort: true } };
  for (const [title, { ownPort = false, ...options }] of Object.entries<{ flags?: number; ownPort?: boolean }>(odd)) {
    it(`packets ${title} are the main thread's business at most 2,000 times a second`, async () => {
      await using dns = await engineRig({ worker: wayward.worker, addresses: [wayward] });
      const { bound } = dns.listeners[0] ?? { bound: { address: "", port: 0 } };
      const asker = await udpClient(bound, ownPort ? { address: "127.0.0.2", port: bound.port } : {});
      for (let id = 0; id < 5000; id++) asker.send(query({ id, ...options }));
      await until(() => dns.metrics.count(DROPPED, "error_rate") > 0, "some are dropped");
      // Another client: the first one's buffer is full of answers.
      const answer = await udpAsk(bound, query({ name: "chain.example.org.", id: 7 }));
      expect(headerOf(answer as Buffer).id).to.equal(7);
      asker.close();
    });
  }

  it("what comes while the main thread is busy waits in the ring; what is too much is counted, and hits go on (C122)", async () => {
    await using dns = await engineRig({ worker: wayward.worker, addresses: [wayward] });
    const { bound } = dns.listeners[0] ?? { bound: { address: "", port: 0 } };
    // The client sends from a process of its own, while this one stands still.
    const client = `
      const socket = require("node:dgram").createSocket("udp4");
      const [port, miss, hit] = process.argv.slice(1);
      const send = (hex) => new Promise((resolve) => socket.send(Buffer.from(hex, "hex"), Number(port), "127.0.0.1", resolve));
      (async () => {
        for (let count = 0; count < 12_000; count++) await send(miss);
        let hits = 0;
        socket.on("message", () => { if (++hits === 10) { console.log("hits"); process.exit(0); } else send(hit); });
        send(hit);
      })();`;
    const miss = query({ name: "chain.silent.example.org." }).toString("hex");
    const hit = query({ name: "www.example.org." }).toString("hex");
    const { spawnSync } = await import("node:child_process");
    const child = spawnSync(process.execPath, ["-e", client, String(bound.port), miss, hit], { timeout: 8000, encoding: "utf8" });
    expect(child.stdout).to.equal("hits\n");
    await until(() => dns.metrics.count(DROPPED, "overload") > 0, "some were too many");
    await until(() => dns.responder.asked.length > 5000, "the ring was full");
    expect(headerOf((await udpAsk(bound, query({ name: "chain.example.org.", id: 9 }))) as Buffer).id).to.equal(9);
  });

  it("what the kernel drops is counted by address", async () => {
    await using dns = await engineRig({ worker: wayward.worker, addresses: [wayward, { address: "127.0.0.2" }] });
    const [stuck, idle] = dns.listeners.map(({ bound }) => bound);
    const drops = (of: ListenAddress | undefined): number =>
      dns.metrics.count("ndots_kernel_dropped_packets_total", `${of?.address}:${of?.port}`);
    const asker = await udpClient(stuck as ListenAddress);
    asker.send(query({ name: "spin.example.org." })); // until it is replaced, the buffer fills
    await until(() => {
      for (let count = 0; count < 100; count++) asker.send(query());
      return drops(stuck) > 0;
    }, "the buffer overflows");
    expect(drops(idle)).to.equal(0);
    asker.close();
  });

  it("the wildcard and one address may share a port", async () => {
    const zone = await sharedZone("example.org", ZONE);
    await using dns = await engineRig({ addresses: [{ address: "127.0.0.1" }] });
    const { port } = dns.listeners[0]?.bound ?? { port: 0 };
    const wildcard = dns.engine.listener({ address: "", port, responder: dns.responder, ...zone });
    await wildcard.start();
    expect(headerOf((await udpAsk({ address: "127.0.0.1", port }, query({ name: "www.example.org." }))) as Buffer).counts[1]).to.equal(0);
    expect(headerOf((await udpAsk({ address: "127.0.0.2", port }, query({ name: "www.example.org." }))) as Buffer).counts[1]).to.equal(1);
    await wildcard.stop(0);
    expect(headerOf((await udpAsk({ address: "127.0.0.1", port }, query({ name: "www.example.org." }))) as Buffer).counts[1]).to.equal(0);
    expect(await udpAsk({ address: "127.0.0.2", port }, query({ name: "www.example.org." }), 50)).to.equal(undefined);
  });

  it("four threads on a port leave no room for another server", async () => {
    await using dns = await rig((options) => batchListener({ ...options, native, threads: 4 }));
    const other = createSocket({ type: "udp4", reuseAddr: true });
    const error = await new Promise<Error | undefined>((resolve) => {
      other.once("error", resolve);
      other.bind(dns.listener.bound.port, "127.0.0.1", () => resolve(undefined));
    });
    other.close();
    expect(error?.message).to.include("EADDRINUSE");
  });
});
