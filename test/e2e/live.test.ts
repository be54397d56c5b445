// A server in use: manifests that are edited under it, files that break, queries while it is told to stop, packets that
// would kill a plain Node server. The program as users run it, asked over its sockets.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { decodeMessage } from "../../src/dns/decode.ts";
import { rcodeName } from "../../src/dns/text.ts";
import { ask } from "../../src/testing.ts";
import { headerOf, query, tcpConnection, udpClient, type Target } from "../helpers/dns-client.ts";
import { freePort } from "../helpers/free-port.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, startNdots, temporaryFolder } from "../helpers/ndots-process.ts";
import { becomes, COREFILE, has, isAbsent, live, manifest } from "./live.ts";

const SENDER = fileURLToPath(new URL("../malformed/udp-from.py", import.meta.url));
const WEB = "web.default.svc.cluster.local";

describe("manifests that change under a running server", function () {
  this.timeout(30_000);

  it("a file that is edited, added, renamed and deleted is answered as it is", async () => {
    await using server = await live({ "k8s/web.yaml": manifest("web", "10.0.1.1") });
    const { target, write, folder } = server;
    await becomes(target, WEB, has("10.0.1.1"));
    write("k8s/web.yaml", manifest("web", "10.0.1.2"));
    await becomes(target, WEB, has("10.0.1.2"));
    write("k8s/api.yaml", manifest("api", "10.0.1.3"));
    await becomes(target, "api.default.svc.cluster.local", has("10.0.1.3"));
    renameSync(join(folder.path, "k8s/api.yaml"), join(folder.path, "k8s/backend.yaml"));
    write("k8s/backend.yaml", manifest("backend", "10.0.1.3"));
    await becomes(target, "backend.default.svc.cluster.local", has("10.0.1.3"));
    await becomes(target, "api.default.svc.cluster.local", isAbsent);
    rmSync(join(folder.path, "k8s/web.yaml"));
    await becomes(target, WEB, isAbsent);
    expect((await ask(target, "2.1.0.10.in-addr.arpa", "PTR")).rcode).to.equal("NXDOMAIN");
  });

  it("a ConfigMap's swap of its symlink is seen", async () => {
    await using server = await live({ "k8s/..1/web.yaml": manifest("web", "10.0.2.1"), "k8s/..2/web.yaml": manifest("web", "10.0.2.2") });
    const volume = join(server.folder.path, "k8s");
    const point = (to: string): void => {
      symlinkSync(to, join(volume, "..data_tmp"));
      renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
    };
    point("..1");
    symlinkSync("..data/web.yaml", join(volume, "web.yaml"));
    await becomes(server.target, WEB, has("10.0.2.1"));
    point("..2");
    rmSync(join(volume, "..1"), { recursive: true });
    await becomes(server.target, WEB, has("10.0.2.2"));
  });

  it("a broken file keeps its last good answer and is reported with line and column; repaired, it is answered again", async () => {
    await using server = await live({ "k8s/web.yaml": manifest("web", "10.0.3.1") });
    const { target, write, running } = server;
    await becomes(target, WEB, has("10.0.3.1"));
    write("k8s/web.yaml", manifest("web", "10.0.3.999"));
    await running.shows(/^\[ERROR\] .*k8s\/web\.yaml:6:14: spec\.clusterIP: Invalid value: "10\.0\.3\.999": /m);
    expect(await ask(target, WEB, "A")).to.have.deep.property("addresses", ["10.0.3.1"]);
    write("k8s/web.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: [web\n"); // half written
    await running.shows(/^\[ERROR\] .*k8s\/web\.yaml:5:1: /m); // where it breaks off
    expect(await ask(target, WEB, "A")).to.have.deep.property("addresses", ["10.0.3.1"]);
    write("k8s/web.yaml", manifest("web", "10.0.3.2"));
    await becomes(target, WEB, has("10.0.3.2"));
  });

  it("a folder that is missing at the start is reported, and served when it comes", async () => {
    await using server = await live({});
    await server.running.shows(/^\[ERROR\] .*k8s.*there is no such file or folder$/m);
    await becomes(server.target, WEB, isAbsent);
    mkdirSync(join(server.folder.path, "k8s"));
    server.write("k8s/new.yaml", `${manifest("web", "10.0.4.2")}---\n${manifest("api", "10.0.4.3")}`);
    await becomes(server.target, WEB, has("10.0.4.2"));
    await becomes(server.target, "api.default.svc.cluster.local", has("10.0.4.3"));
  });
});

describe("a server that has not read its manifests yet", function () {
  this.timeout(30_000);

  it("answers SERVFAIL with a reason, never NXDOMAIN, and then what is there", async () => {
    const files = Array.from({ length: 2_000 }, (_, index) => [
      `k8s/s${index}.yaml`,
      manifest(`s${index}`, `10.0.${10 + (index >> 7)}.${(index & 127) + 1}`),
    ]);
    const port = await freePort();
    using folder = temporaryFolder({ ...Object.fromEntries(files), Corefile: COREFILE.replace(".:0", `.:${port}`) });
    await using running = startNdots([], { cwd: folder.path });
    const client = await udpClient({ address: "127.0.0.1", port });
    const seen = new Set<string>();
    while (!seen.has("NOERROR") && running.child.exitCode === null) {
      client.send(query({ name: "s1.default.svc.cluster.local", edns: {} }));
      const answer = await client.receive(100); // at first nobody listens
      const message = answer && decodeMessage(answer);
      if (message !== undefined)
        seen.add(`${rcodeName(message.rcode)}${message.edns?.ede === undefined ? "" : ` EDE ${message.edns.ede.code}`}`);
    }
    client.close();
    expect([...seen]).to.deep.equal(["SERVFAIL EDE 14", "NOERROR"]);
  });
});

describe("SIGTERM while clients ask (C117)", function () {
  this.timeout(40_000);
  /** How long clients go on after the signal: within the second and more in which a server without `health` drains. */
  const ASKING_MS = 900;

  for (const lameduck of [undefined, "1s"]) {
    it(`loses no query over UDP and TCP, and exits 0: ${lameduck === undefined ? "without health" : `lameduck ${lameduck}`}`, async () => {
      const health = lameduck === undefined ? "" : `    health 127.0.0.1:0 {\n        lameduck ${lameduck}\n    }\n`;
      await using server = await live(
        { "k8s/web.yaml": manifest("web", "10.0.5.1") },
        COREFILE.replace("    errors\n", `    errors\n${health}`),
      );
      let signalledAtMs = Infinity;
      const isOver = (): boolean => performance.now() > signalledAtMs + ASKING_MS;
      const clients = [askUntil(server.target, isOver), askUntil(server.target, isOver), askTcpUntil(server.target, isOver)];
      await becomes(server.target, WEB, has("10.0.5.1"));
      signalledAtMs = performance.now();
      server.running.child.kill("SIGTERM");
      const counts = await Promise.all(clients);
      for (const { asked, answered } of counts) {
        expect(asked).to.be.above(50);
        expect(answered).to.equal(asked);
      }
      const { code, stdout } = await server.running.ended;
      expect(stdout).to.include("[INFO] SIGTERM: Shutting down servers then terminating");
      expect(code).to.equal(0);
    });
  }
});

describe("SIGTERM and a client that never stops", () => {
  it("holds the server no longer than twice the lameduck time, and loses only what it asks after that", async () => {
    const health = "    health 127.0.0.1:0 {\n        lameduck 1s\n    }\n";
    await using server = await live(
      { "k8s/web.yaml": manifest("web", "10.0.5.1") },
      COREFILE.replace("    errors\n", `    errors\n${health}`),
    );
    await becomes(server.target, WEB, has("10.0.5.1"));
    const idle = await tcpConnection(server.target);
    let isOver = false;
    const client = askUntil(server.target, () => isOver);
    const startedMs = performance.now();
    server.running.child.kill("SIGTERM");
    const { code } = await server.running.ended;
    const tookMs = performance.now() - startedMs;
    isOver = true;
    const { asked, answered } = await client;
    idle.close();
    expect(code).to.equal(0);
    expect(tookMs).to.be.within(2_000, 5_000);
    expect(asked - answered).to.be.at.most(1);
  });
});

interface Count {
  readonly asked: number;
  readonly answered: number;
}

// One question after the other; what is not answered within a second is lost.
async function askUntil(target: Target, isOver: () => boolean): Promise<Count> {
  const client = await udpClient(target);
  let asked = 0;
  let answered = 0;
  while (!isOver()) {
    client.send(query({ name: WEB, id: ++asked & 0xffff }));
    const answer = await client.receive();
    if (answer !== undefined && headerOf(answer).rcode === 0) answered++;
  }
  client.close();
  return { asked, answered };
}

async function askTcpUntil(target: Target, isOver: () => boolean): Promise<Count> {
  const connection = await tcpConnection(target);
  let asked = 0;
  let answered = 0;
  while (!isOver()) {
    connection.send(query({ name: WEB, id: ++asked & 0xffff }));
    const answer = await connection.receive();
    if (answer !== undefined && headerOf(answer).rcode === 0) answered++;
  }
  connection.close();
  return { asked, answered };
}

describe("packets that end a plain Node server", () => {
  it("source port 0 (C1), in IPv4 and IPv6: dropped, the next query is answered", async function () {
    needsRoot(this);
    needsPrograms(this, "python3");
    await using server = await live(
      { "k8s/web.yaml": manifest("web", "10.0.6.1") },
      COREFILE.replace("bind 127.0.0.1", "bind 127.0.0.1 ::1"),
    );
    const { target, running } = server;
    const [, portOf6 = ""] = await running.shows(/\[::1\]:(\d+)/);
    const packet = query({ name: WEB }).toString("hex");
    await promisify(execFile)("python3", [SENDER, "4", String(target.port), packet, "0", "0", "7"]);
    await promisify(execFile)("python3", [SENDER, "6", portOf6, packet, "0", "0", "7"]);
    expect((await ask(target, WEB, "A")).addresses).to.deep.equal(["10.0.6.1"]);
    expect((await ask({ address: "::1", port: Number(portOf6) }, WEB, "A")).addresses).to.deep.equal(["10.0.6.1"]);
    expect(running.child.exitCode).to.equal(null);
  });
});

describe("a log that nobody reads (C116)", () => {
  it("a full pipe at standard output stops neither the answers nor the end", async () => {
    using folder = temporaryFolder({ Corefile: COREFILE.replace("errors", "log"), "k8s/web.yaml": manifest("web", "10.0.8.1") });
    const port = await freePort();
    // Its output is a pipe without a reader: not startNdots(), which reads.
    const corefile = join(folder.path, "Corefile");
    writeFileSync(corefile, readFileSync(corefile, "utf8").replace(".:0", `.:${port}`));
    const child = spawn(process.execPath, [cli, "-conf", corefile], { stdio: ["ignore", "pipe", "ignore"] });
    const ended = once(child, "exit");
    try {
      const target = { address: "127.0.0.1", port };
      const client = await udpClient(target);
      const name = `${"x".repeat(60)}.default.svc.cluster.local`;
      const endMs = performance.now() + 8_000;
      for (let answered = 0; answered < LOGGED_QUERIES;) {
        client.send(query({ name }));
        if ((await client.receive(100)) !== undefined) answered++;
        else if (performance.now() > endMs) throw new Error(`${answered} answers, then none`); // at first it is not up yet
      }
      client.close();
      child.kill("SIGTERM");
      expect((await ended)[0]).to.equal(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

/** A line of the log has more than 150 bytes: far more than a pipe and what a socket pair hold. */
const LOGGED_QUERIES = 5_000;
