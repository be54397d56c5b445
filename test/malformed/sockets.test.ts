// The cases over the UDP and TCP sockets of a server whose cluster holds the same world.

import { expect } from "chai";
import { startServer, type RunningServer } from "../../src/index.ts";
import { service, slice } from "../../src/testing.ts";
import { built } from "../helpers/built.ts";
import { headerOf, query, tcpConnection, udpClient } from "../helpers/dns-client.ts";
import { cases, KUBERNETES } from "./cases.ts";
import { judge } from "./judge.ts";

const SENTINEL_ID = 0xfffe;
/** Asked behind every case: if its answer comes first, the case got none. */
const sentinel = query({ name: KUBERNETES, id: SENTINEL_ID });

async function startWorld(listeners: "auto" | "portable"): Promise<RunningServer> {
  const start = listeners === "portable" ? startServer : (await built<typeof import("../../src/index.ts")>("index")).startServer;
  const dns = await start({ corefile: "cluster.local {\n  kubernetes cluster.local\n}\n", listeners });
  const addresses = Array.from({ length: 121 }, (_, index) => `10.244.0.${index + 1}`);
  dns.registry.apply(
    { verb: "upsert", object: service({ name: "kubernetes", clusterIPs: ["10.96.0.1"], ports: [{ name: "https", port: 443 }] }) },
    { verb: "upsert", object: service({ name: "big", headless: true, ports: [{ name: "http", port: 80 }] }) },
    { verb: "upsert", object: slice({ service: "big", endpoints: addresses, ports: [{ name: "http", port: 80 }] }) },
  );
  return dns;
}

for (const listeners of ["portable", "auto"] as const) malformed(listeners);

function malformed(listeners: "auto" | "portable"): void {
  describe(`malformed: over the sockets of a server, ${listeners === "auto" ? "threads" : "main thread"}`, () => {
    let dns: RunningServer;
    before(async () => {
      dns = await startWorld(listeners);
    });
    after(() => dns.close());

    for (const each of cases) {
      if (each.tcpOnly === true) continue;
      it(`udp ${each.id}: ${each.title}`, async () => {
        const client = await udpClient(dns.address);
        try {
          client.send(each.packet);
          client.send(sentinel);
          const answers = [await client.receive()];
          // Threads answer sound questions at once and hand over odd ones: either may come first.
          if (!("drop" in each.expect)) answers.push(await client.receive());
          const ids = answers.map((answer) => answer && headerOf(answer).id);
          expect(ids, "the answer to a sound question behind it").to.include(SENTINEL_ID);
          const answer = answers.find((other) => other !== undefined && headerOf(other).id !== SENTINEL_ID);
          expect(judge(each, answer, "udp")).to.deep.equal([]);
        } finally {
          client.close();
        }
      });
    }

    for (const each of cases) {
      if (each.tcp === "skip") continue;
      it(`tcp ${each.id}: ${each.title}`, async () => {
        const connection = await tcpConnection(dns.address);
        try {
          connection.send(each.packet, sentinel);
          const answers = [await connection.receive()];
          const dropped = "drop" in each.expect;
          if (!dropped) answers.push(await connection.receive());
          const ids = answers.map((answer) => answer && headerOf(answer).id);
          expect(ids, "the answer to a sound question behind it").to.include(SENTINEL_ID);
          const answer = answers.find((other) => other !== undefined && headerOf(other).id !== SENTINEL_ID);
          expect(judge(each, answer, "tcp")).to.deep.equal([]);
        } finally {
          connection.close();
        }
      });
    }

    it("the server answers after all of that", async () => {
      expect((await dns.query(KUBERNETES)).addresses).to.deep.equal(["10.96.0.1"]);
    });
  });
}
