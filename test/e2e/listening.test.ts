// Which path a server takes, and that what it tells (log, metrics) is the same on each: `node dist/cli.js` asked over sockets.

import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { expect } from "chai";
import { Rcodes } from "../../src/dns/message.ts";
import { silentLog } from "../../src/log.ts";
import { built } from "../helpers/built.ts";
import { headerOf, query, tcpConnection, udpAsk, type Target } from "../helpers/dns-client.ts";
import { freePort } from "../helpers/free-port.ts";
import { startNdots, temporaryFolder, type Running } from "../helpers/ndots-process.ts";

const MANIFEST = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.0.0.80, ports: [{ name: http, port: 80 }] }
`;
const COREFILE = `. {
    bind 127.0.0.1
    log
    errors
    kubernetes cluster.local {
        manifests .
        pods insecure
    }
}
`;
const NAME = "web.default.svc.cluster.local.";
const STARTED = /^\[INFO\] listening on 127\.0\.0\.1:(\d+) for UDP and TCP: (.*)$/m;

const preload = (file: string): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=${new URL(file, import.meta.url).href}`,
});

const rows: {
  readonly title: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly path: RegExp;
  readonly says?: RegExp;
}[] = [
  { title: "threads, where there is nothing against it", path: /^a UDP thread \(recvmmsg\), a TCP thread/ },
  { title: "the main thread, asked for by a flag", args: ["-listeners=portable"], path: /^on the main thread/ },
  { title: "the main thread, asked for by the environment", env: { NDOTS_LISTENERS: "portable" }, path: /^on the main thread/ },
  {
    title: "the main thread, where koffi is not installed",
    env: preload("without-koffi.mjs"),
    path: /^on the main thread/,
    says: /^\[INFO\] no listening threads, the main thread answers: koffi can't be loaded: Cannot find package 'koffi'$/m,
  },
  {
    title: "the main thread, where seccomp refuses recvmmsg",
    env: preload("refuse-recvmmsg.mjs"),
    path: /^on the main thread/,
    says: /^\[INFO\] no listening threads, the main thread answers: recvmmsg: EPERM$/m,
  },
  {
    title: "the main thread, where the system refuses a thread",
    env: preload("refuse-threads.mjs"),
    path: /^on the main thread/,
    says: /^\[INFO\] no listening threads, the main thread answers: a thread can't be started: EAGAIN$/m,
  },
  { title: "threads, where the variable is set to nothing", env: { NDOTS_LISTENERS: "" }, path: /^a UDP thread/ },
];

for (const { title, args = [], env = {}, path, says } of rows) {
  describe(`listening: ${title}`, () => {
    let running: Running;
    let folder: ReturnType<typeof temporaryFolder>;
    let target: Target;

    before(async function () {
      if (process.platform !== "linux") this.skip(); // the threads' calls are Linux'
      folder = temporaryFolder({ Corefile: COREFILE, "web.yaml": MANIFEST });
      running = startNdots(["-conf", "Corefile", "-p", "0", ...args], { cwd: folder.path, env, patienceMs: 30_000 });
      const [, port, found] = await running.shows(STARTED);
      target = { address: "127.0.0.1", port: Number(port) };
      expect(found).to.match(path);
    });
    after(async () => {
      await running[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    });

    it("says why, once (C126)", () => {
      const told = running.stdout().match(/^\[INFO\] no listening threads.*$/gm) ?? [];
      expect(told).to.have.length(says === undefined ? 0 : 1);
      if (says !== undefined) expect(running.stdout()).to.match(says);
    });

    it("hits, misses and refused questions are answered and logged alike, over UDP and TCP", async () => {
      const questions = [
        { name: NAME, rcode: Rcodes.NOERROR },
        { name: `no-${NAME}`, rcode: Rcodes.NXDOMAIN },
        { name: "1-2-3-4.default.pod.cluster.local.", rcode: Rcodes.NOERROR },
        { name: "example.org.", rcode: Rcodes.REFUSED },
      ];
      for (const { name, rcode } of questions) {
        const answer = await udpAsk(target, query({ name, id: 4711 }));
        expect(headerOf(answer as Buffer).flags & 0xf, name).to.equal(rcode);
        const connection = await tcpConnection(target);
        connection.send(query({ name, id: 4712 }));
        expect(headerOf((await connection.receive()) as Buffer).flags & 0xf, name).to.equal(rcode);
        connection.close();
      }
      for (const { name } of questions) {
        for (const [id, proto] of [
          [4711, "udp"],
          [4712, "tcp"],
        ] as const) {
          const size = query({ name }).length;
          const [line] = await running.shows(new RegExp(String.raw`^\[INFO\] 127\.0\.0\.1:\d+ - ${id} "A IN ${name} ${proto} .*$`, "m"));
          expect(line).to.match(new RegExp(String.raw` ${proto} ${size} false (512|65535)" [A-Z]+ qr,\S+ \d+ [\d.]+s$`));
        }
      }
    });

    it("ends on SIGTERM with 0", async () => {
      running.child.kill("SIGTERM");
      expect(await running.ended).to.include({ code: 0, stderr: "" });
    });
  });
}

describe("listening: metrics", () => {
  for (const listeners of ["auto", "portable"] as const) {
    it(`what ${listeners === "auto" ? "threads" : "the main thread"} answered is in /metrics at once`, async () => {
      using folder = temporaryFolder({ "web.yaml": MANIFEST });
      const { createServer } = await built<typeof import("../../src/server.ts")>("server");
      const corefile = COREFILE.replace("log\n", "multisocket 2\n    prometheus 127.0.0.1:0\n");
      const file = `${folder.path}/Corefile`;
      const options = { corefile, file, port: 0, address: "", embedded: false, strict: true, env: {}, log: silentLog, listeners };
      const server = await createServer(options);
      try {
        const target = server.addresses[0] ?? expect.fail();
        await server.settled();
        for (let count = 0; count < 3; count++) await udpAsk(target, query({ name: NAME }));
        await udpAsk(target, query({ name: `no-${NAME}` }));
        await udpAsk(target, query({ name: "1-2-3-4.default.pod.cluster.local." }));
        const connection = await tcpConnection(target);
        connection.send(query({ name: NAME }), query({ name: `no-${NAME}` }));
        await connection.receive();
        await connection.receive();
        connection.close();

        const [metrics] = server.http.addresses;
        const text = await (await fetch(`http://127.0.0.1:${metrics?.port}/metrics`)).text();
        const value = (name: string, ...labels: readonly string[]): number =>
          text
            .split("\n")
            .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
            .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
        expect(value("coredns_dns_requests_total", 'proto="udp"', 'type="A"', 'server="dns://')).to.equal(5);
        expect(value("coredns_dns_requests_total", 'proto="tcp"')).to.equal(2);
        expect(value("coredns_dns_responses_total", 'rcode="NOERROR"', 'plugin="kubernetes"')).to.equal(5);
        expect(value("coredns_dns_responses_total", 'rcode="NXDOMAIN"', 'plugin="kubernetes"')).to.equal(2);
        expect(value("coredns_dns_request_duration_seconds_count")).to.equal(7);
        const path = listeners === "auto" ? ['path="batch"', 'threads="2"'] : ['path="portable"', 'threads="0"'];
        expect(value("ndots_listener_info", ...path)).to.equal(1);
      } finally {
        await server.stop("now");
      }
    });
  }
});

describe("listening: a block for all addresses beside one for an address, on the same port", () => {
  const WILDCARD = (port: number): string => `.:${port} {\n    whoami\n}\n`;
  const BOUND = (port: number): string => `who.test:${port} {\n    bind 127.0.0.2\n    whoami\n}\n`;
  const around = {
    file: "Corefile",
    port: 0,
    address: "",
    embedded: false,
    strict: true,
    env: {},
    log: silentLog,
    listeners: "auto",
  } as const;

  before(function () {
    if (process.platform !== "linux") this.skip(); // SO_REUSEPORT
  });

  for (const [first, second] of [
    [WILDCARD, BOUND],
    [BOUND, WILDCARD],
  ] as const) {
    it(`each answers its own, ${first === BOUND ? "the one for an address" : "the one for all"} written first`, async () => {
      const { createServer } = await built<typeof import("../../src/server.ts")>("server");
      const port = await freePort();
      const server = await createServer({ ...around, corefile: first(port) + second(port) });
      try {
        for (const { address, name, rcode } of [
          { address: "127.0.0.1", name: "www.example.org.", rcode: Rcodes.NOERROR },
          { address: "127.0.0.2", name: "www.who.test.", rcode: Rcodes.NOERROR },
          { address: "127.0.0.2", name: "www.example.org.", rcode: Rcodes.REFUSED },
        ]) {
          const target = { address, port };
          expect(headerOf((await udpAsk(target, query({ name }))) as Buffer).rcode, `${name} of ${address} over UDP`).to.equal(rcode);
          const connection = await tcpConnection(target);
          connection.send(query({ name }));
          expect(headerOf((await connection.receive()) as Buffer).rcode, `${name} of ${address} over TCP`).to.equal(rcode);
          connection.close();
        }
      } finally {
        await server.stop("now");
      }
    });

    it(`somebody else's socket is respected, ${first === BOUND ? "the one for an address" : "the one for all"} written first`, async () => {
      const { createServer } = await built<typeof import("../../src/server.ts")>("server");
      const holder = await holdPort();
      try {
        const corefile = first(holder.port) + second(holder.port);
        const error = await createServer({ ...around, corefile }).then(
          (server) => server.stop("now"),
          (failure: Error) => failure,
        );
        expect(error).to.match(/can't listen on all addresses, port \d+\/TCP: another process has it/);
      } finally {
        await holder.close();
      }
    });
  }
});

// A TCP socket on an address that only the wildcard overlaps.
async function holdPort(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const holder = createTcpServer();
  await new Promise<void>((resolve) => holder.listen({ port: 0, host: "127.0.0.3", exclusive: true }, resolve));
  const { port } = holder.address() as AddressInfo;
  return { port, close: () => new Promise((resolve) => holder.close(() => resolve())) };
}
