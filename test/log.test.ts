// The server's log: CoreDNS's text to the byte, and no destination, however broken, that costs more than lines.

import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createLog, silentLog } from "../src/log.ts";

function collect(options: { readonly format?: "text" | "json"; readonly debug?: boolean } = {}) {
  const lines: string[] = [];
  return { lines, log: createLog({ ...options, to: (text) => void lines.push(text) }) };
}

describe("log", () => {
  it("prints CoreDNS's text, a level, the plugin, no time", () => {
    const { lines, log } = collect();
    const plugin = log.plugin("health");
    plugin.info("Going into lameduck mode for 5s");
    plugin.warning("w");
    plugin.error("e");
    plugin.debug("not without the debug plugin");
    plugin.line(".:53");
    plugin.query("192.0.2.7:4 - 1");
    log.info("Reloading");
    expect(lines).to.deep.equal([
      "[INFO] plugin/health: Going into lameduck mode for 5s\n",
      "[WARNING] plugin/health: w\n",
      "[ERROR] plugin/health: e\n",
      ".:53\n",
      "[INFO] 192.0.2.7:4 - 1\n",
      "[INFO] Reloading\n",
    ]);
  });

  it("lets debug lines of all plugins through once one enables them", () => {
    const { lines, log } = collect();
    const before = log.plugin("cache");
    log.plugin("debug").enableDebug();
    before.debug("d");
    expect(lines).to.deep.equal(["[DEBUG] plugin/cache: d\n"]);
  });

  it("escapes control characters, so that no text can forge a line", () => {
    const { lines, log } = collect();
    log.plugin("x").error("a\n[INFO] b\x1b[31m\x7f\u0085\u2028");
    log.line("first\nsecond\x07");
    expect(lines).to.deep.equal(["[ERROR] plugin/x: a\\010[INFO] b\\027[31m\\127\\133\\8232\n", "first\nsecond\\007\n"]);
  });

  it("writes one JSON object a line with -log-format=json", () => {
    const { lines, log } = collect({ format: "json" });
    log.plugin("errors").error('2 a\\000b.example.org. A: "x"\n');
    log.line(".:53");
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).to.include({ level: 50, plugin: "errors", msg: '2 a\\000b.example.org. A: "x"\\010' });
    expect(first?.["time"]).to.be.a("number");
    expect(second).to.include({ level: 30, msg: ".:53" });
  });

  it("is silent in the library", () => {
    silentLog.plugin("x").error("nothing");
    expect(silentLog.plugin("x")).to.equal(silentLog);
  });

  describe("to a file", () => {
    let folder: string;
    before(() => (folder = mkdtempSync(join(tmpdir(), "ndots-log-"))));
    after(() => rmSync(folder, { recursive: true }));

    it("writes what is waiting when it is flushed", () => {
      const file = join(folder, "log");
      const fd = openSync(file, "a");
      const log = createLog({ to: fd });
      log.info("one");
      log.info("two");
      log.flush();
      closeSync(fd);
      expect(readFileSync(file, "utf8")).to.equal("[INFO] one\n[INFO] two\n");
      expect(log.dropped).to.equal(0);
    });
  });

  // Each writes 3 MB of lines in a process of its own, whose output does what the title says.
  const program = `
    import { writeSync } from "node:fs";
    import { createLog } from ${JSON.stringify(new URL("../src/log.ts", import.meta.url).href)};
    const log = createLog();
    let turns = 0;
    const timer = setInterval(() => {
      for (let line = 0; line < 1000; line++) log.info("x".repeat(100));
      if (++turns < 30) return;
      clearInterval(timer);
      log.flush();
      writeSync(2, JSON.stringify({ dropped: log.dropped }));
      process.exit(0);
    }, 1);
  `;
  const run = (stdout: "pipe" | number) =>
    spawn(process.execPath, ["--import=tsx", "--input-type=module", "-e", program], { stdio: ["ignore", stdout, "pipe"] });

  const finish = async (child: ReturnType<typeof run>): Promise<{ readonly code: number | null; readonly dropped: number }> => {
    let report = "";
    child.stderr?.on("data", (chunk: Buffer) => (report += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    expect(report).to.match(/^\{"dropped":\d+\}$/);
    return { code, dropped: (JSON.parse(report) as { dropped: number }).dropped };
  };

  it("drops and counts when the reader of a pipe stands still, and ends (C116)", async () => {
    const child = run("pipe");
    child.stdout?.pause();
    const exit = once(child, "exit");
    let report = "";
    child.stderr?.on("data", (chunk: Buffer) => (report += chunk.toString()));
    const [code] = (await exit) as [number | null];
    child.stdout?.destroy();
    expect(code).to.equal(0);
    expect(JSON.parse(report)).to.have.property("dropped").above(15_000);
  });

  it("goes on when the pipe is closed (C116)", async () => {
    const child = run("pipe");
    child.stdout?.destroy();
    const { code, dropped } = await finish(child);
    expect(code).to.equal(0);
    expect(dropped).to.be.above(15_000);
  });

  it("goes on when the disk is full (C116)", async function () {
    if (!existsSync("/dev/full")) this.skip();
    const full = openSync("/dev/full", "w");
    const { code, dropped } = await finish(run(full));
    closeSync(full);
    expect(code).to.equal(0);
    expect(dropped).to.be.at.least(29_000); // all but what was being written at the end
  });

  it("loses nothing to a reader that reads", async () => {
    const child = run("pipe");
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => (bytes += chunk.length));
    const { code, dropped } = await finish(child);
    expect({ code, dropped, bytes }).to.deep.equal({ code: 0, dropped: 0, bytes: 30_000 * "[INFO] \n".length + 30_000 * 100 });
  });
});
