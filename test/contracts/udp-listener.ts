// What every UDP listener keeps to (cases C1, C2, C73–C75, C77, C78). Run by test/listeners/udp.test.ts.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { headerOf, query, udpClient, type UdpClient } from "../helpers/dns-client.ts";
import { until } from "../helpers/listening.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { rig, type ListenerFactory, type Rig } from "./listener.ts";

const DROPPED = "ndots_dropped_packets_total";
const SENDER = fileURLToPath(new URL("../malformed/udp-from.py", import.meta.url));

export function udpListenerContract(name: string, create: ListenerFactory): void {
  describe(`${name}: sources that are never answered`, () => {
    before(function () {
      needsRoot(this);
      needsPrograms(this, "python3");
    });

    const rows: { from: number | "own"; reason: string; case: string }[] = [
      { from: 0, reason: "source_port_zero", case: "C1" },
      { from: 7, reason: "source_port_reflector", case: "C73" },
      { from: 13, reason: "source_port_reflector", case: "C73" },
      { from: 19, reason: "source_port_reflector", case: "C73" },
      { from: 37, reason: "source_port_reflector", case: "C73" },
      { from: "own", reason: "source_own", case: "C74" },
    ];
    for (const address of ["127.0.0.1", "::1", ""]) {
      for (const { from, reason, case: id } of rows) {
        it(`${from === "own" ? "its own address and" : "any address,"} port ${from}, to ${address === "" ? "the wildcard" : address} (${id})`, async () => {
          await using dns = await rig(create, { address });
          const { port } = dns.listener.bound;
          await sendFrom(from === "own" ? port : from, port, address.includes(":") ? 6 : 4);
          await until(() => dns.metrics.count(DROPPED, reason) === 1, "it is counted");
          expect(dns.responder.asked).to.deep.equal([]);
          await answers(dns);
        });
      }
    }

    it("port 53 is answered: resolvers ask from there (C73)", async () => {
      await using dns = await rig(create);
      await sendFrom(53, dns.listener.bound.port, 4);
      await until(() => dns.responder.asked.length === 1, "it is asked");
      expect(dns.responder.asked[0]?.remotePort).to.equal(53);
    });

    it("1,000 packets from port 0 cost 1,000 counts (C1)", async () => {
      await using dns = await rig(create);
      await sendFrom(0, dns.listener.bound.port, 4, 1000);
      await until(() => dns.metrics.count(DROPPED, "source_port_zero") === 1000, "all are counted");
      await answers(dns);
    });
  });

  describe(`${name}: a socket in trouble`, () => {
    it("runts of 0, 1 and 11 bytes get nothing (C2)", async () => {
      await using dns = await rig(create);
      const asker = await udpClient(dns.listener.bound);
      for (const bytes of [0, 1, 11]) asker.send(Buffer.alloc(bytes));
      await answers(dns, asker);
    });

    it("an answer that can't be sent is counted, once, and the next goes out (C74, C78)", async () => {
      await using dns = await rig(create);
      const asker = await udpClient(dns.listener.bound);
      asker.send(query({ name: "bytes-65535.example.org." })); // more than a datagram holds
      await until(() => dns.metrics.count(DROPPED, "send_emsgsize") === 1, "it is counted");
      await answers(dns, asker);
      expect(dns.metrics.count(DROPPED, "send_emsgsize")).to.equal(1);
    });

    it("clients that are gone before their answer harm nobody (C75)", async () => {
      await using dns = await rig(create);
      for (let round = 0; round < 100; round++) {
        const gone = await udpClient(dns.listener.bound);
        gone.send(query({ name: "slow.example.org.", id: round }));
        await until(() => dns.responder.waiting.length === round + 1, "it is asked");
        gone.close();
      }
      for (const slow of dns.responder.waiting) slow.answer(); // 100 ICMP "port unreachable" come back
      await answers(dns);
    });

    it("promised answers are bounded: more are dropped and counted, and there is room again when some have gone (C77)", async () => {
      await using dns = await rig(create, { maxPending: 4 });
      const asker = await udpClient(dns.listener.bound);
      for (let id = 0; id < 10; id++) asker.send(query({ name: "slow.example.org.", id }));
      await until(() => dns.metrics.count(DROPPED, "overload") === 6, "six are counted");
      expect(dns.responder.waiting.map(({ id }) => id)).to.deep.equal([0, 1, 2, 3]);
      for (const slow of dns.responder.waiting) slow.answer();
      for (const id of [0, 1, 2, 3]) expect(headerOf((await asker.receive()) as Buffer).id).to.equal(id);
      await answers(dns, asker);
    });

    it("a burst of 2,000 packets is answered or counted by the kernel, and never kept", async () => {
      await using dns = await rig(create);
      const asker = await udpClient(dns.listener.bound);
      for (let id = 0; id < 2000; id++) asker.send(query({ name: "silent.example.org.", id }));
      await until(() => dns.responder.asked.length > 0, "some are asked");
      await answers(dns, await udpClient(dns.listener.bound));
      asker.close();
    });
  });
}

// A sound query is answered, and nothing came before its answer.
async function answers(dns: Rig, asker?: UdpClient): Promise<void> {
  const control = asker ?? (await udpClient(dns.listener.bound));
  control.send(query({ name: "control.example.org.", id: 4242 }));
  expect(headerOf((await control.receive(5000)) as Buffer).id).to.equal(4242);
  control.close();
}

async function sendFrom(source: number, port: number, family: 4 | 6, times = 1): Promise<void> {
  const sources = Array.from({ length: times }, () => String(source));
  await promisify(execFile)("python3", [SENDER, String(family), String(port), query({ id: 1 }).toString("hex"), ...sources]);
}
