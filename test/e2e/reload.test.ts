// A Corefile that changes under a running server: it takes the place of the old one, or changes nothing.

import { createSocket } from "node:dgram";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { definePlugin, directive } from "../../src/plugin.ts";
import type { Configuration, Plugin } from "../../src/plugin.ts";
import { createServer, type Server } from "../../src/server.ts";
import { headerOf, query, tcpConnection, udpAsk, type TcpConnection } from "../helpers/dns-client.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { until } from "../helpers/listening.ts";
import { needsPrograms } from "../helpers/needs.ts";
import { cli, startNdots, startProcess, temporaryFolder, type Folder, type Running } from "../helpers/ndots-process.ts";

const NOERROR = 0;
const REFUSED = 5;
const POLLED_MS = 15_000;

function corefile(...lines: readonly string[]): string {
  const own = ["bind 127.0.0.1", "health 127.0.0.1:0", "ready 127.0.0.1:0", "prometheus 127.0.0.1:0", ...lines];
  return `example.org {\n${own.map((line) => `    ${line}\n`).join("")}}\n`;
}

interface Subject {
  readonly server: Server;
  readonly file: string;
  readonly lines: readonly string[];
  write(text: string): void;
  /** The rcode for a name, and what an HTTP path answers. */
  rcode(name: string): Promise<number>;
  get(path: string): Promise<{ status: number; body: string }>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function subject(
  text: string,
  more: { files?: Record<string, string>; plugins?: readonly Plugin<unknown>[] } = {},
): Promise<Subject> {
  const folder = temporaryFolder({ ...more.files, Corefile: text });
  const file = join(folder.path, "Corefile");
  const log = fakeLog();
  const reread = (): string => readFileSync(file, "utf8");
  const server = await createServer({
    corefile: text,
    file,
    reread,
    log,
    port: 0,
    address: "127.0.0.1",
    embedded: true,
    strict: false,
    env: {},
    plugins: more.plugins ?? [],
  });
  return {
    server,
    file,
    lines: log.lines,
    write: (next) => writeFileSync(file, next),
    async rcode(name) {
      const [target] = server.addresses;
      if (target === undefined) throw new Error("no address");
      const reply = await udpAsk(target, query({ name }));
      return reply === undefined ? -1 : headerOf(reply).rcode;
    },
    async get(path) {
      const address = server.http.addresses.find(({ paths }) => paths.includes(path.replace(/\?.*/, "")));
      const response = await fetch(`http://127.0.0.1:${address?.port}${path}`);
      return { status: response.status, body: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      await server.stop("now");
      folder[Symbol.dispose]();
    },
  };
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "",
    (error: unknown) => (error as Error).message,
  );
}

describe("reload: C119, what can't be served changes nothing", () => {
  const cases: readonly { title: string; change(subject: Subject, taken: { readonly port: number }): void; says: RegExp }[] = [
    { title: "a syntax error", change: ({ write }) => write(`${corefile("whoami")}}\n`), says: /Corefile:\d+:1: unexpected "\}"/ },
    { title: "an unknown plugin", change: ({ write }) => write(corefile("whoam")), says: /Corefile:6:5: .*'whoam', did you mean 'whoami'/ },
    {
      title: "a brace that is never closed",
      change: ({ write }) => write(corefile("log {")),
      says: /Corefile:1:13: this "\{" is never closed/,
    },
    {
      title: "an import cycle",
      change({ write, file }) {
        writeFileSync(join(file, "../a.conf"), "import a.conf\n");
        write(corefile("import a.conf"));
      },
      says: /a\.conf:1:8: import cycle/,
    },
    {
      title: "a DNS port that is taken",
      change: ({ write }, { port }) => write(`${corefile("whoami")}example.net:${port} {\n    bind 127.0.0.1\n    whoami\n}\n`),
      says: /port \d+/,
    },
    {
      title: "an HTTP port that is taken",
      change: ({ write }, { port }) => write(corefile("whoami").replace("health 127.0.0.1:0", `health 127.0.0.1:${port}`)),
      says: /\/health: can't listen/,
    },
    { title: "a deleted file", change: ({ file }) => unlinkSync(file), says: /ENOENT/ },
    {
      title: "a half-written file",
      change: ({ write }) => write(corefile("whoami").slice(0, 60)),
      says: /Corefile:1:13: this "\{" is never closed/,
    },
  ];
  const taken = createTcpServer();
  const takenUdp = createSocket("udp4");
  const subjects: { subject: Subject; held: TcpConnection; before: Server["http"]["addresses"] }[] = [];

  before(async function () {
    this.timeout(30_000);
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    await new Promise<void>((resolve) => takenUdp.bind(port, "127.0.0.1", resolve));
    for (const { change } of cases) {
      const one = await subject(corefile("reload 2s 0s", "whoami"));
      const [target] = one.server.addresses;
      if (target === undefined) throw new Error("no address");
      subjects.push({ subject: one, held: await tcpConnection(target), before: one.server.http.addresses });
      change(one, { port });
    }
    const told = ({ lines }: Subject): boolean => lines.some((line) => line.includes("reload failed"));
    await until(() => subjects.every((each) => told(each.subject)), "every server tells what is wrong", POLLED_MS);
  });
  after(async () => {
    for (const { subject: one, held } of subjects) {
      held.close();
      await one[Symbol.asyncDispose]();
    }
    taken.close();
    takenUdp.close();
  });

  for (const [index, { title, says }] of cases.entries()) {
    it(title, async () => {
      const { subject: one, held, before } = subjects[index] as (typeof subjects)[number];
      const failed = one.lines.filter((line) => line.startsWith("[ERROR] plugin/reload: Corefile changed but reload failed: "));
      expect(failed).to.have.length(1);
      expect(failed[0]).to.match(says);
      expect(one.lines).to.include("[INFO] Reloading");
      expect(one.lines.some((line) => line.startsWith("[ERROR] Restart failed: "))).to.equal(true);
      expect((await one.get("/metrics")).body).to.match(/^coredns_reload_failed_total 1$/m);
      expect(await one.get("/health")).to.deep.equal({ status: 200, body: "OK" });
      expect(await one.get("/ready")).to.deep.equal({ status: 200, body: "OK" });
      expect(one.server.http.addresses, "no endpoint was closed").to.deep.equal(before);
      expect(await one.rcode("example.org")).to.equal(NOERROR);
      held.send(query({ name: "example.org" }));
      expect(headerOf((await held.receive()) as Buffer).rcode, "a connection from before").to.equal(NOERROR);

      one.write(corefile("whoami").replace("example.org", "example.net"));
      await one.server.reload();
      expect(await one.rcode("example.net"), "mended").to.equal(NOERROR);
      expect(await one.rcode("example.org")).to.equal(REFUSED);
    });
  }
});

describe("reload: what takes the place", () => {
  it("the digest that runs is in the log and in the metric, the one before is gone", async () => {
    await using one = await subject(corefile("reload", "whoami"));
    one.write(corefile("reload", "errors", "whoami"));
    await one.server.reload();
    const digests = one.lines.flatMap((line) => /Running configuration SHA512 = ([0-9a-f]{128})$/.exec(line)?.[1] ?? []);
    expect(new Set(digests).size).to.equal(2);
    const { body } = await one.get("/metrics");
    const found = [...body.matchAll(/^coredns_reload_version_info\{hash="sha512",value="(\w+)"\} 1$/gm)].map(([, value]) => value);
    expect(found).to.deep.equal([digests[1]]);
    const words = one.lines.filter((line) => /Reloading|SHA512/.test(line)).map((line) => line.replace(/ = .*/, ""));
    expect(words.slice(1)).to.deep.equal([
      "[INFO] Reloading",
      "[INFO] plugin/reload: Running configuration SHA512",
      "[INFO] Reloading complete",
    ]);
  });

  it("C128: two servers of one Corefile each look for themselves", async () => {
    await using one = await subject(corefile("reload 2s 0s", "whoami"));
    const log = fakeLog();
    const reread = (): string => readFileSync(one.file, "utf8");
    const other = await createServer({
      corefile: reread(),
      file: one.file,
      reread,
      log,
      port: 0,
      address: "127.0.0.1",
      embedded: true,
      strict: false,
      env: {},
    });
    try {
      one.write(corefile("reload 2s 0s", "errors", "whoami"));
      const complete = ({ lines }: { readonly lines: readonly string[] }): boolean => lines.includes("[INFO] Reloading complete");
      await until(() => complete(one) && complete(log), "both reload", POLLED_MS);
    } finally {
      await other.stop("now");
    }
  });
});

describe("reload: #4014, readiness", () => {
  // Ready when the test says so.
  const gate = { open: true };
  const gated = definePlugin({
    name: "gated",
    syntax: directive(),
    setup: () => ({ ready: () => gate.open, notReadyReason: () => "shut" }),
  });
  const plugins = [gated as unknown as Plugin<unknown>];

  it("stays after every reload", async () => {
    await using one = await subject(corefile("whoami"));
    for (let round = 0; round < 5; round++) {
      one.write(corefile("whoami", ...(round % 2 === 0 ? ["errors"] : [])));
      await one.server.reload();
      expect(await one.get("/ready")).to.deep.equal({ status: 200, body: "OK" });
    }
  });

  it("is that of the plugins that run now: a new one that is not ready counts, one that is gone does not", async () => {
    gate.open = false;
    await using one = await subject(corefile("whoami"), { plugins });
    expect((await one.get("/ready")).status).to.equal(200);
    one.write(corefile("gated", "whoami"));
    await one.server.reload();
    expect(await one.get("/ready")).to.deep.equal({ status: 503, body: "gated" });
    expect((await one.get("/ready?verbose")).body).to.equal("gated\ngated: shut\n");
    one.write(corefile("whoami"));
    await one.server.reload();
    expect((await one.get("/ready")).status).to.equal(200);
  });

  it("what was ready once is asked anew by the next configuration", async () => {
    gate.open = true;
    await using one = await subject(corefile("gated", "whoami"), { plugins });
    expect((await one.get("/ready")).status).to.equal(200);
    gate.open = false;
    expect((await one.get("/ready")).status, "monitor until-ready").to.equal(200);
    one.write(corefile("gated", "errors", "whoami"));
    await one.server.reload();
    expect((await one.get("/ready")).status).to.equal(503);
    gate.open = true;
    expect((await one.get("/ready")).status).to.equal(200);
  });
});

describe("reload: fragments that a pattern imports", () => {
  const main = (...lines: readonly string[]): string =>
    `${corefile("import custom/*.override", ...lines, "whoami")}import custom/*.server\n`;
  const server = (zone: string): string => `${zone} {\n    bind 127.0.0.1\n    whoami\n}\n`;

  it("a bad one at the start is left out, told and counted, and the others are served", async () => {
    const files = {
      "custom/a.server": server("a.example"),
      "custom/b.server": "b.example {\n    whoam\n}\n",
      "custom/c.server": server("c.example"),
    };
    await using one = await subject(main(), { files });
    expect([await one.rcode("a.example"), await one.rcode("b.example"), await one.rcode("c.example")]).to.deep.equal([
      NOERROR,
      REFUSED,
      NOERROR,
    ]);
    expect(one.lines.filter((line) => line.startsWith("[ERROR]")).join("\n")).to.match(
      /custom\/b\.server:2:5: .*'whoam'.* \(this file is bad: it is left out\)/,
    );
    expect((await one.get("/metrics")).body).to.match(/^ndots_import_failed\{file="[^"]*custom\/b\.server",served="left out"\} 1$/m);
  });

  it("the last good version of one that goes bad goes on, while others change", async () => {
    await using one = await subject(main(), { files: { "custom/a.server": server("a.example"), "custom/b.server": server("b.example") } });
    writeFileSync(join(one.file, "../custom/a.server"), "a.example {\n");
    writeFileSync(join(one.file, "../custom/b.server"), server("b2.example"));
    await one.server.reload();
    expect([await one.rcode("a.example"), await one.rcode("b.example"), await one.rcode("b2.example")]).to.deep.equal([
      NOERROR,
      REFUSED,
      NOERROR,
    ]);
    expect((await one.get("/metrics")).body).to.match(
      /^ndots_import_failed\{file="[^"]*custom\/a\.server",served="last good version"\} 1$/m,
    );
    writeFileSync(join(one.file, "../custom/a.server"), server("a2.example"));
    await one.server.reload();
    expect([await one.rcode("a.example"), await one.rcode("a2.example")]).to.deep.equal([REFUSED, NOERROR]);
    expect((await one.get("/metrics")).body).to.not.match(/^ndots_import_failed\{/m);
  });

  it("a bad one is no reason to reload again and again: the digest is that of the files as they are", async () => {
    let seen: Configuration | undefined;
    const looking = definePlugin({ name: "looking", syntax: directive(), setup: (_, { configuration }) => ((seen = configuration), {}) });
    const plugins = [looking as unknown as Plugin<unknown>];
    await using one = await subject(main("looking"), { plugins, files: { "custom/a.server": "a.example {\n" } });
    expect(seen?.digest).to.match(/^[0-9a-f]{128}$/);
    expect(seen?.read()).to.equal(seen?.digest);
    writeFileSync(join(one.file, "../custom/a.server"), "a.example {\n    whoam\n");
    expect(seen?.read(), "another bad text is a change").to.not.equal(seen?.digest);
  });

  it("import_strict refuses the whole for a bad one", async () => {
    await using one = await subject(main("reload {\n        import_strict\n    }"), { files: { "custom/a.server": server("a.example") } });
    writeFileSync(join(one.file, "../custom/a.server"), "a.example {\n");
    expect(await refusal(one.server.reload())).to.match(/custom\/a\.server:1:11: this "\{" is never closed/);
    expect(await one.rcode("a.example")).to.equal(NOERROR);
  });
});

// From here on the program itself.

const STARTED = /^\[INFO\] listening on 127\.0\.0\.1:(\d+) /m;
const zone = (name: string, ...lines: readonly string[]): string =>
  `${name} {\n    bind 127.0.0.1\n${lines.map((line) => `    ${line}\n`).join("")}    whoami\n}\n`;

async function rcodeOf(running: Running, name: string): Promise<number> {
  const port = Number(STARTED.exec(running.stdout())?.[1]);
  const reply = await udpAsk({ address: "127.0.0.1", port }, query({ name }));
  return reply === undefined ? -1 : headerOf(reply).rcode;
}

const times = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;
const COMPLETE = /^\[INFO\] Reloading complete$/m;

describe("reload: a mounted ConfigMap", () => {
  // As kubelet's atomic writer does: files are links into ..data, which is a link to a folder that is new each time.
  function write(folder: Folder, round: number, text: string): void {
    const before = `..${round - 1}`;
    mkdirSync(join(folder.path, `..${round}`));
    writeFileSync(join(folder.path, `..${round}`, "Corefile"), text);
    symlinkSync(`..${round}`, join(folder.path, "..data_tmp"));
    renameSync(join(folder.path, "..data_tmp"), join(folder.path, "..data"));
    if (round === 0) symlinkSync("..data/Corefile", join(folder.path, "Corefile"));
    else rmSync(join(folder.path, before), { recursive: true });
  }

  it("is seen when its link is swapped, the second time too", async () => {
    using folder = temporaryFolder();
    write(folder, 0, zone("a.example", "reload 2s 0s"));
    await using running = startNdots(["-conf", join(folder.path, "Corefile"), "-p", "0"], { patienceMs: 30_000 });
    await running.shows(STARTED);
    write(folder, 1, zone("b.example", "reload 2s 0s"));
    await running.shows(COMPLETE);
    expect([await rcodeOf(running, "a.example"), await rcodeOf(running, "b.example")]).to.deep.equal([REFUSED, NOERROR]);
    write(folder, 2, zone("c.example", "reload 2s 0s"));
    await running.shows(/(Reloading complete\n[^]*){2}/);
    expect([await rcodeOf(running, "b.example"), await rcodeOf(running, "c.example")]).to.deep.equal([REFUSED, NOERROR]);
  });
});

describe("SIGUSR1", () => {
  it("reloads without the plugin, in CoreDNS's words", async () => {
    using folder = temporaryFolder({ Corefile: zone("a.example") });
    await using running = startNdots(["-p", "0"], { cwd: folder.path });
    await running.shows(STARTED);
    writeFileSync(join(folder.path, "Corefile"), zone("b.example"));
    running.child.kill("SIGUSR1");
    await running.shows(/^\[INFO\] SIGUSR1: Reloading\n\[INFO\] Reloading\n\[INFO\] Reloading complete$/m);
    expect([await rcodeOf(running, "a.example"), await rcodeOf(running, "b.example")]).to.deep.equal([REFUSED, NOERROR]);
  });

  it("with a bad Corefile changes nothing, and says why by file and line", async () => {
    using folder = temporaryFolder({ Corefile: zone("a.example") });
    await using running = startNdots(["-p", "0"], { cwd: folder.path });
    await running.shows(STARTED);
    writeFileSync(join(folder.path, "Corefile"), zone("b.example", "whoam", "erors"));
    running.child.kill("SIGUSR1");
    const [, told] = await running.shows(/^\[ERROR\] SIGUSR1: (.*)$/m);
    expect(told).to.match(/Corefile:3:5: .*'whoam'.*; Corefile:4:5: .*'erors'/);
    expect(running.stdout()).to.include(`[INFO] Reloading\n[ERROR] Restart failed: ${told}\n`);
    expect(await rcodeOf(running, "a.example")).to.equal(NOERROR);
  });

  it("a deleted Corefile is told, too", async () => {
    using folder = temporaryFolder({ Corefile: zone("a.example") });
    await using running = startNdots(["-p", "0"], { cwd: folder.path });
    await running.shows(STARTED);
    unlinkSync(join(folder.path, "Corefile"));
    running.child.kill("SIGUSR1");
    await running.shows(/^\[ERROR\] SIGUSR1: Corefile: can't be read: ENOENT/m);
    expect(await rcodeOf(running, "a.example")).to.equal(NOERROR);
  });

  it("a Corefile from standard input stays, and its imports are read again", async () => {
    using folder = temporaryFolder({ "a.conf": zone("a.example") });
    await using running = startNdots(["-conf", "stdin", "-p", "0"], { cwd: folder.path, stdin: "import a.conf\n" });
    await running.shows(STARTED);
    writeFileSync(join(folder.path, "a.conf"), zone("b.example"));
    running.child.kill("SIGUSR1");
    await running.shows(COMPLETE);
    expect(running.stdout()).to.match(/^\[INFO\] SIGUSR1: the Corefile came from standard input, which can't be read again/m);
    expect(await rcodeOf(running, "b.example")).to.equal(NOERROR);
  });

  it("before the server runs is remembered, and many are one", async () => {
    using folder = temporaryFolder({
      Corefile: zone("a.example"),
      // Signals while the commands are being loaded.
      "hook.mjs": `
        export async function resolve(specifier, context, next) {
          if (specifier.endsWith("/cli/program.js")) for (let n = 0; n < 5; n++) process.kill(process.pid, "SIGUSR1");
          return next(specifier, context);
        }`,
      "early.mjs": 'import { register } from "node:module"; register("./hook.mjs", import.meta.url);',
    });
    const early = pathToFileURL(join(folder.path, "early.mjs")).href;
    await using running = startProcess(process.execPath, ["--import", early, cli, "-p", "0"], { cwd: folder.path });
    await running.shows(COMPLETE);
    running.child.kill("SIGINT");
    const { code, stdout, stderr } = await running.ended;
    expect({ code, reloads: times(stdout, /^\[INFO\] SIGUSR1: Reloading$/gm), stderr }).to.deep.equal({ code: 0, reloads: 1, stderr: "" });
    expect(stdout.indexOf("SIGUSR1: Reloading")).to.be.greaterThan(stdout.indexOf("listening on"));
  });

  it("C117, PR 7562: SIGTERM right behind it ends the server", async () => {
    using folder = temporaryFolder({ Corefile: zone("a.example", "health 127.0.0.1:0 {\n        lameduck 0s\n    }") });
    await using running = startNdots(["-p", "0"], { cwd: folder.path });
    await running.shows(STARTED);
    running.child.kill("SIGUSR1");
    running.child.kill("SIGTERM");
    expect(await running.ended).to.include({ code: 0 });
  });

  // What an early signal does to a Node that was started without the option below, made sure of.
  for (const { title, options, stays } of [
    {
      title: "an inspector that it opened before the program ran is closed",
      options: ["--import", 'data:text/javascript,import{open}from"node:inspector";open(0)'],
      stays: false,
    },
    { title: "an inspector that was asked for stays", options: ["--inspect=127.0.0.1:0"], stays: true },
  ]) {
    it(title, async () => {
      using folder = temporaryFolder({ Corefile: zone("a.example") });
      await using running = startProcess(process.execPath, [...options, cli, "-p", "0"], { cwd: folder.path });
      let stderr = "";
      running.child.stderr?.on("data", (text: string) => (stderr += text));
      await running.shows(STARTED);
      const port = Number(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(stderr)?.[1]);
      expect(await listens(port)).to.equal(stays);
    });
  }

  // As scripts/start and the image start Node.
  it("every 5 ms from exec on never opens Node's inspector, nor ends the process", async function () {
    needsPrograms(this, "sh");
    this.timeout(30_000);
    using folder = temporaryFolder({ Corefile: zone("a.example") });
    for (let start = 0; start < 2; start++) {
      const script = `trap '' USR1; echo exec; exec "$0" --inspect-port=192.0.2.1:9229 "$@"`;
      await using running = startProcess("sh", ["-c", script, process.execPath, cli, "-p", "0"], { cwd: folder.path });
      await running.shows(/^exec$/m);
      let listening = false;
      const every = setInterval(() => {
        running.child.kill("SIGUSR1");
        void listens(9229).then((open) => (listening ||= open));
      }, 5);
      await running.shows(/(Reloading complete\n[^]*){3}/);
      clearInterval(every);
      expect(await rcodeOf(running, "a.example")).to.equal(NOERROR);
      running.child.kill("SIGINT");
      const { code, stderr } = await running.ended;
      expect({ code, listening }).to.deep.equal({ code: 0, listening: false });
      expect(stderr).to.not.include("Debugger listening");
    }
  });
});

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
  });
}
