// UDP and TCP on one port, and what people are told when that can't be.

import { createServer } from "node:net";
import { expect } from "chai";
import { NdotsError } from "../../src/errors.ts";
import { bindPair, listenError, plainAddress } from "../../src/listeners/bind.ts";
import type { ListenAddress, Listener } from "../../src/listeners/listener.ts";
import { tcpListener } from "../../src/listeners/tcp.ts";
import { udpListener } from "../../src/listeners/udp.ts";
import { query, tcpConnection, udpAsk } from "../helpers/dns-client.ts";
import { countedMetrics, fakeResponder, recordedLog } from "../helpers/listening.ts";

const around = () => ({ responder: fakeResponder(), log: recordedLog(), metrics: countedMetrics() });
const open = {
  udp: (address: ListenAddress): Listener => udpListener({ ...address, ...around() }),
  tcp: (address: ListenAddress): Listener => tcpListener({ ...address, ...around() }),
};

describe("listeners/bind: UDP and TCP on one port", () => {
  for (const address of ["127.0.0.1", "::1", ""]) {
    it(`port 0 of ${address === "" ? "the wildcard" : address} is the same for both`, async () => {
      const { udp, tcp } = await bindPair({ address, port: 0 }, open);
      expect(tcp.bound.port).to.equal(udp.bound.port);
      expect(await udpAsk(udp.bound, query())).to.have.length(29);
      const connection = await tcpConnection(tcp.bound);
      connection.send(query());
      expect(await connection.receive()).to.have.length(29);
      connection.close();
      await Promise.all([udp.stop(0), tcp.stop(0)]);
    });
  }

  it("port 0 is tried again where TCP's is taken", async () => {
    let tries = 0;
    let closed = 0;
    const { udp, tcp } = await bindPair(
      { address: "127.0.0.1", port: 0 },
      {
        udp: (address) => {
          const listener = open.udp(address);
          return wrapped(listener, { stop: (graceMs) => (closed++, listener.stop(graceMs)) });
        },
        tcp: (address) => (++tries < 3 ? taken(open.tcp(address)) : open.tcp(address)),
      },
    );
    expect(tries, "more where a client had the port").to.be.at.least(3);
    expect({ closed, same: udp.bound.port === tcp.bound.port }).to.deep.equal({ closed: tries - 1, same: true });
    await Promise.all([udp.stop(0), tcp.stop(0)]);
  });

  it("a port that was asked for is not replaced, and UDP is closed again", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as { port: number };
    const pair = bindPair({ address: "127.0.0.1", port }, open);
    expect(await pair.then(String, (error: NdotsError) => error.code)).to.equal("NDOTS_ERR_LISTEN");
    const udp = open.udp({ address: "127.0.0.1", port });
    await udp.start();
    await udp.stop(0);
    await new Promise((resolve) => holder.close(resolve));
  });
});

describe("listeners/bind: errors are worded for people (C127)", () => {
  const rows: { code: string; port: number; address: string; says: string[] }[] = [
    {
      code: "EADDRINUSE",
      port: 53,
      address: "",
      says: ["all addresses, port 53/UDP", "systemd-resolved", "sport = :53", "another port (-p N)", '"bind ADDRESS"'],
    },
    { code: "EADDRINUSE", port: 1053, address: "192.0.2.1", says: ["192.0.2.1, port 1053/UDP", "another process has it", "sport = :1053"] },
    {
      code: "EACCES",
      port: 53,
      address: "",
      says: ["below 1024", "-p 1053", "cap_net_bind_service", "net.ipv4.ip_unprivileged_port_start=53"],
    },
    { code: "EADDRNOTAVAIL", port: 53, address: "192.0.2.1", says: ["192.0.2.1", "ip addr", '"bind"'] },
    { code: "EADDRNOTAVAIL", port: 53, address: "fe80::1", says: ["fe80::1%eth0"] },
    { code: "EMFILE", port: 53, address: "", says: ["ulimit -n"] },
    { code: "EIO", port: 53, address: "", says: ["EIO: broken"] },
  ];
  for (const { code, port, address, says } of rows) {
    it(`${code} at ${address === "" ? "the wildcard" : address}, port ${port}`, function () {
      const error = listenError("udp", { address, port }, Object.assign(new Error(`${code}: broken`), { code }));
      for (const words of says) {
        if (words.startsWith("sport") && process.platform !== "linux") continue;
        expect(error.message).to.include(words);
      }
    });
  }
});

describe("listeners/bind: plain addresses", () => {
  for (const [shown, plain] of [
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8::1", "2001:db8::1"],
    ["::ffff:0:1", "::ffff:0:1"],
    ["::1", "::1"],
  ] as const) {
    it(`${shown} is ${plain}`, () => expect(plainAddress(shown)).to.equal(plain));
  }
});

// The listener with some of its members replaced.
function wrapped(listener: Listener, changes: Partial<Pick<Listener, "start" | "stop">>): Listener {
  return {
    transport: listener.transport,
    start: () => listener.start(),
    serve: (served) => listener.serve(served),
    stop: (graceMs) => listener.stop(graceMs),
    ...changes,
    get bound() {
      return listener.bound;
    },
    get received() {
      return listener.received;
    },
  };
}

function taken(listener: Listener): Listener {
  const cause = Object.assign(new Error("taken"), { code: "EADDRINUSE" });
  return wrapped(listener, { start: () => Promise.reject(listenError("tcp", listener.bound, cause)) });
}
