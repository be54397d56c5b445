// `ndots serve`: start-up output, the files and the standard input it starts from, and every signal.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { headerOf, query, udpAsk } from "../helpers/dns-client.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { cli, startNdots, startProcess, temporaryFolder, type Running } from "../helpers/ndots-process.ts";

const COREFILE = "example.org {\n    bind 127.0.0.1\n    whoami\n}\n";
const STARTED = /^\[INFO\] listening on 127\.0\.0\.1:(\d+) /m;
const SIGTERM_LINE = "[INFO] SIGTERM: Shutting down servers then terminating\n";

// From standard input on a free port, up to its start-up lines.
async function started(...args: readonly string[]): Promise<Running> {
  const running = startNdots(["-conf", "stdin", "-p", "0", ...args], { stdin: COREFILE });
  await running.shows(STARTED);
  return running;
}

describe("ndots serve", () => {
  it("prints a line for each zone and the version, as CoreDNS does", async () => {
    await using running = await started();
    expect(running.stdout()).to.match(/^example\.org\.:0 on 127\.0\.0\.1\nndots-\S+\n\w+\/\w+, node v/);
  });

  it("-quiet leaves the start-up output out, -pidfile names the process and goes with it", async () => {
    using folder = temporaryFolder();
    const pidfile = join(folder.path, "ndots.pid");
    await using running = startNdots(["-conf", "stdin", "-p", "0", "-quiet", "-pidfile", pidfile], { stdin: COREFILE });
    await until(() => existsSync(pidfile) && readFileSync(pidfile, "utf8").endsWith("\n"));
    expect(readFileSync(pidfile, "utf8")).to.equal(`${running.child.pid}\n`);
    running.child.kill("SIGINT");
    expect(await running.ended).to.include({ code: 0, stdout: "[INFO] SIGINT: Shutting down\n" });
    expect(existsSync(pidfile)).to.equal(false);
  });

  it("a -pidfile that can't be written ends the start with 1, before anything is opened", async () => {
    using folder = temporaryFolder();
    await using running = startNdots(["-conf", "stdin", "-p", "0", "-pidfile", join(folder.path, "missing", "ndots.pid")], {
      stdin: COREFILE,
    });
    const { code, stdout, stderr } = await running.ended;
    expect(stderr).to.match(/^-pidfile: ENOENT.*missing\/ndots\.pid/);
    expect(stdout).to.equal("");
    expect(code).to.equal(1);
  });

  it("a start that fails leaves no -pidfile behind", async () => {
    using folder = temporaryFolder();
    const pidfile = join(folder.path, "ndots.pid");
    await using running = startNdots(["-conf", "stdin", "-pidfile", pidfile], { stdin: ".:0 {\n    whoam\n}\n" });
    expect(await running.ended).to.include({ code: 1 });
    expect(existsSync(pidfile)).to.equal(false);
  });

  it("starts from ./Corefile when there is one", async () => {
    using folder = temporaryFolder({ Corefile: COREFILE });
    await using running = startNdots(["serve", "-p", "0"], { cwd: folder.path });
    await running.shows(STARTED);
  });

  it("starts from the shipped Corefile when there is none, on 127.0.0.1", async () => {
    using folder = temporaryFolder();
    await using running = startNdots(["-p", "0"], { cwd: folder.path });
    const [, port] = await running.shows(STARTED);
    const reply = await udpAsk({ address: "127.0.0.1", port: Number(port) }, query({ name: "my-nginx.default.svc.cluster.local" }));
    expect(headerOf(reply as Buffer)).to.include({ rcode: 0 });
  });

  it("a port in the Corefile wins over -p", async () => {
    await using blocker = await started();
    const taken = STARTED.exec(blocker.stdout())?.[1] ?? "";
    const corefile = COREFILE.replace("example.org", `example.org:${taken}`);
    await using running = startNdots(["-conf", "stdin", "-p", "0"], { stdin: corefile });
    const { code, stderr } = await running.ended;
    expect(stderr).to.include(taken);
    expect(code).to.equal(1);
  });

  it("a wrong Corefile ends the start with all its findings and exit code 1", async () => {
    await using running = startNdots(["-conf", "stdin", "-p", "0"], { stdin: ".:0 {\n    whoam\n    erors\n}\n" });
    const { code, stdout, stderr } = await running.ended;
    expect(stderr)
      .to.match(/^stdin:2.*whoam/m)
      .and.match(/erors/);
    expect(stdout).to.equal("");
    expect(code).to.equal(1);
  });

  it("a wrong manifest is reported and the rest is served; --strict ends the start", async () => {
    using folder = temporaryFolder({
      "k8s/wrong.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: Wrong_Name\n",
      Corefile: ".:0 {\n    bind 127.0.0.1\n    kubernetes cluster.local {\n        manifests k8s\n    }\n}\n",
    });
    await using lenient = startNdots([], { cwd: folder.path });
    await lenient.shows(/^ndots-/m);
    expect(lenient.stdout()).to.match(/^\[ERROR\] .*wrong\.yaml:4:\d+: .*Wrong_Name/m);
    await using strict = startNdots(["--strict"], { cwd: folder.path });
    const { code, stderr } = await strict.ended;
    expect(stderr).to.match(/wrong\.yaml:4:\d+: .*Wrong_Name/);
    expect(code).to.equal(1);
  });

  it("-log-format=json writes every line as an object", async () => {
    await using running = startNdots(["-conf", "stdin", "-p", "0", "-log-format=json"], { stdin: COREFILE });
    await running.shows(/ndots-/);
    running.child.kill("SIGINT");
    const lines = (await running.ended).stdout.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).to.include("SIGINT: Shutting down");
    expect(lines[0]).to.include('"msg":"example.org.:0 on 127.0.0.1"');
  });
});

describe("signals", () => {
  it("SIGTERM shuts down and exits 0", async () => {
    await using running = await started();
    running.child.kill("SIGTERM");
    const { code, stdout } = await running.ended;
    expect(stdout).to.include(SIGTERM_LINE);
    expect(code).to.equal(0);
  });

  it("a second SIGTERM ends at once with 143 (C117)", async () => {
    await using running = await started();
    running.child.kill("SIGTERM");
    await running.shows(/SIGTERM: Shutting down/);
    running.child.kill("SIGTERM");
    expect(await running.ended).to.include({ code: 143 });
  });

  it("SIGINT shuts down and exits 0", async () => {
    await using running = await started();
    running.child.kill("SIGINT");
    const { code, stdout } = await running.ended;
    expect(stdout).to.match(/^\[INFO\] SIGINT: Shutting down$/m);
    expect(code).to.equal(0);
  });

  it("SIGINT while shutting down forces the end with exit code 2", async () => {
    await using running = await started();
    running.child.kill("SIGTERM");
    await running.shows(/SIGTERM: Shutting down/);
    running.child.kill("SIGINT");
    const { code, stdout } = await running.ended;
    expect(stdout).to.match(/^\[INFO\] SIGINT: Force quit$/m);
    expect(code).to.equal(2);
  });

  it("SIGQUIT exits 0 immediately", async () => {
    await using running = await started();
    running.child.kill("SIGQUIT");
    const { code, stdout } = await running.ended;
    expect(stdout).to.match(/^\[INFO\] SIGQUIT: /m);
    expect(code).to.equal(0);
  });

  it("SIGHUP and SIGUSR2 are ignored with one line each", async () => {
    await using running = await started();
    for (const signal of ["SIGHUP", "SIGUSR2"] as const) {
      running.child.kill(signal);
      await running.shows(new RegExp(`^\\[INFO\\] ${signal}: ignored$`, "m"));
    }
    const port = Number(STARTED.exec(running.stdout())?.[1]);
    const reply = await udpAsk({ address: "127.0.0.1", port }, query({ name: "example.org" }));
    expect(headerOf(reply as Buffer)).to.include({ rcode: 0 });
  });

  it("a closed standard output does not end the server", async () => {
    await using running = await started();
    running.child.stdout?.destroy();
    running.child.kill("SIGUSR2"); // a log line that nobody reads
    const port = Number(STARTED.exec(running.stdout())?.[1]);
    const reply = await udpAsk({ address: "127.0.0.1", port }, query({ name: "example.org" }));
    expect(headerOf(reply as Buffer)).to.include({ rcode: 0 });
    running.child.kill("SIGTERM");
    expect(await running.ended).to.include({ code: 0 });
  });

  // A module hook holds up the loading of the commands for ever and says so: whatever answers the signal then was
  // there before anything else.
  const HOOK = `
    import { writeSync } from "node:fs";
    export async function resolve(specifier, context, next) {
      if (!specifier.endsWith("/cli/program.js")) return next(specifier, context);
      writeSync(1, "loading the commands\\n");
      await new Promise(() => setInterval(() => undefined, 1000));
    }`;
  const HOLD_UP = 'import { register } from "node:module"; register("./hook.mjs", import.meta.url);';

  it("handlers stand before anything else is loaded", async () => {
    using folder = temporaryFolder({ "hook.mjs": HOOK, "hold-up.mjs": HOLD_UP });
    const holdUp = pathToFileURL(join(folder.path, "hold-up.mjs")).href;
    await using running = startProcess(process.execPath, ["--import", holdUp, cli]);
    await running.shows(/loading the commands/);
    running.child.kill("SIGTERM");
    const { code, stdout } = await running.ended;
    expect(stdout).to.include(SIGTERM_LINE);
    expect(code).to.equal(0);
  });

  it("the same as PID 1, for which the kernel drops signals without a handler (C118)", async function () {
    needsRoot(this);
    needsPrograms(this, "unshare");
    using folder = temporaryFolder({ "hook.mjs": HOOK, "hold-up.mjs": HOLD_UP });
    const holdUp = pathToFileURL(join(folder.path, "hold-up.mjs")).href;
    await using running = startProcess("unshare", ["--fork", "--pid", "--kill-child", process.execPath, "--import", holdUp, cli]);
    await running.shows(/loading the commands/);
    const { pid } = running.child;
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    process.kill(Number(child), "SIGTERM");
    const { code, stdout } = await running.ended;
    expect(stdout).to.include(SIGTERM_LINE);
    expect(code).to.equal(0);
  });
});

// Probes that stay green while nothing answers are the worst end (coredns#3860): what nobody caught ends the process, so that
// it is started again.
describe("a fault that nobody caught (C123, coredns#3860)", () => {
  for (const [what, fault] of [
    ["a rejected promise", "Promise.reject(new Error('nobody is told'))"],
    ["an exception", "setImmediate(() => { throw new Error('nobody is told'); })"],
  ] as const) {
    it(`${what} in the background ends the program with 70, and says where it was`, async () => {
      const preload = `data:text/javascript,${encodeURIComponent(`process.on("SIGCONT", () => { ${fault}; });`)}`;
      using folder = temporaryFolder({ Corefile: "example.org:0 {\n  bind 127.0.0.1\n  whoami\n}\n" });
      await using running = startProcess(process.execPath, ["--import", preload, cli], { cwd: folder.path });
      await running.shows(/listening on/);
      running.child.kill("SIGCONT");
      const { code, stderr } = await running.ended;
      expect(stderr).to.match(/^\[FATAL\] Error: nobody is told\n {4}at /);
      expect(code).to.equal(70);
    });
  }
});

describe("scripts", () => {
  it("scripts/start says which Node is needed when there is none", () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "dirname"), '#!/bin/sh\nprintf "%s\\n" "${1%/*}"\n', { mode: 0o755 });
    expect(() =>
      execFileSync("/bin/sh", [join(cli, "../../scripts/start")], { env: { PATH: folder.path }, stdio: ["ignore", "pipe", "pipe"] }),
    ).to.throw(/Node\.js was not found; install 20\.19 or newer/);
  });

  it("… and when it is too old", () => {
    using folder = temporaryFolder();
    const oldNode = `#!/bin/sh\ncase $1 in -p) echo 18.20.4 ;; -e) exec "${process.execPath}" -e "Object.defineProperty(process.versions, 'node', { value: '18.20.4' }); $2" ;; esac\n`;
    writeFileSync(join(folder.path, "node"), oldNode, { mode: 0o755 });
    expect(() =>
      execFileSync("/bin/sh", [join(cli, "../../scripts/start")], {
        env: { PATH: `${folder.path}:/usr/bin:/bin` },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    ).to.throw(/Node\.js 20\.19 or newer is needed, this is 18\.20\.4/);
  });
});

// A file gives no event that is worth waiting for: looked at often, for a bounded time.
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("it did not come about in 5 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
