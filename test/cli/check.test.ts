// `ndots check`: every finding with its place, for people and for programs.

import { expect } from "chai";
import { needsPrograms } from "../helpers/needs.ts";
import { cli, ndots, startProcess, temporaryFolder } from "../helpers/ndots-process.ts";

const GOOD = ".:1053 {\n    whoami\n}\n";
const WRONG = ".:1053 {\n    whoami\n    erors\n    kubernets cluster.local\n}\n";
const WARNED = ".:1053 {\n    whoami\n    pprof\n}\n";
const SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n";
const WRONG_SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80000\n";

describe("ndots check", () => {
  it("says nothing of a Corefile without faults and exits 0", async () => {
    using folder = temporaryFolder({ Corefile: GOOD });
    expect(await ndots(["check"], { cwd: folder.path })).to.include({ code: 0, stdout: "", stderr: "" });
  });

  it("tells every error with file and line, and exits 1", async () => {
    using folder = temporaryFolder({ "etc/Corefile": WRONG });
    const { code, stdout } = await ndots(["check", "-conf", "etc/Corefile"], { cwd: folder.path });
    expect(stdout).to.match(/^etc\/Corefile:3(:\d+)?: .*'erors'/m);
    expect(stdout).to.match(/kubernets/);
    expect(stdout).to.not.include("\u001b");
    expect(code).to.equal(1);
  });

  it("a bad file that a pattern imports is an error here, though a server would do without it", async () => {
    using folder = temporaryFolder({ Corefile: `import custom/*.server\n${GOOD}`, "custom/a.server": "a.example {\n    whoam\n}\n" });
    const { code, stdout } = await ndots(["check"], { cwd: folder.path });
    expect(stdout).to.match(/^custom\/a\.server:2:5: .*'whoam'/m);
    expect(code).to.equal(1);
  });

  it("a warning is told and does not fail", async () => {
    using folder = temporaryFolder({ Corefile: WARNED });
    const { code, stdout } = await ndots(["check"], { cwd: folder.path });
    expect(stdout).to.match(/^Corefile:3(:\d+)?: warning: /m);
    expect(code).to.equal(0);
  });

  it("reads the Corefile from standard input", async () => {
    const { code, stdout } = await ndots(["check", "-conf", "stdin"], { stdin: WRONG });
    expect(stdout).to.match(/^stdin:3/m);
    expect(code).to.equal(1);
  });

  it("-o json gives the findings as data", async () => {
    const { code, stdout } = await ndots(["check", "-conf", "stdin", "-o", "json"], { stdin: WRONG });
    const report = JSON.parse(stdout) as { findings: { file: string; line: number; severity: string; message: string }[]; errors: number };
    expect(report.errors).to.be.greaterThan(0);
    expect(report.findings[0]).to.include({ file: "stdin", line: 3, severity: "error" });
    expect(code).to.equal(1);
  });

  it("checks manifests alone", async () => {
    using folder = temporaryFolder({ "good/web.yaml": SERVICE, "bad/web.yaml": WRONG_SERVICE, Corefile: WRONG });
    expect(await ndots(["check", "--manifests", "good"], { cwd: folder.path })).to.include({ code: 0, stdout: "" });
    const wrong = await ndots(["check", "--manifests", "good", "bad"], { cwd: folder.path });
    expect(wrong.stdout).to.match(/^bad\/web\.yaml:7:\d+: .*80000/m);
    expect(wrong.code).to.equal(1);
  });

  it("tells what a Corefile's own manifests have, once", async () => {
    using folder = temporaryFolder({
      "k8s/web.yaml": WRONG_SERVICE,
      Corefile: ".:1053 {\n    kubernetes cluster.local {\n        manifests k8s\n    }\n}\n",
    });
    const { code, stdout } = await ndots(["check", "-conf", "Corefile", "--manifests", "k8s"], { cwd: folder.path });
    expect(stdout.match(/80000/g)).to.have.lengthOf(1);
    expect(code).to.equal(1);
  });

  it("tells them in the order of file, line and column, as text and as JSON", async () => {
    using folder = temporaryFolder({
      "k8s/b.yaml": WRONG_SERVICE,
      "k8s/a.yaml": WRONG_SERVICE.replace("name: web", "name: Web"),
      Corefile: ".:1053 {\n    erors\n    etcd\n    whoami x\n    route53 example.org.:Z1\n    logg\n}\n",
    });
    const args = ["check", "-conf", "Corefile", "--manifests", "k8s"];
    const places = ["Corefile:2", "Corefile:3", "Corefile:4", "Corefile:6", "k8s/a.yaml:4", "k8s/a.yaml:7", "k8s/b.yaml:7"];
    const text = (await ndots(args, { cwd: folder.path })).stdout.trimEnd().split("\n");
    expect(text.map((line) => /^[^:]+:\d+/.exec(line)?.[0])).to.deep.equal(places);
    const json = JSON.parse((await ndots([...args, "-o", "json"], { cwd: folder.path })).stdout) as {
      findings: { file: string; line: number }[];
    };
    expect(json.findings.map(({ file, line }) => `${file}:${line}`)).to.deep.equal(places);
  });

  for (const args of [
    ["-conf", "Corefile"],
    ["--manifests", "k8s"],
  ]) {
    it(`${args[0]}: a kind that is nearly one of ours is a warning; others are skipped in silence`, async () => {
      using folder = temporaryFolder({
        "k8s/web.yaml": SERVICE.replace("kind: Service", "kind: Sevice"),
        "k8s/other.yaml": ["Node", "Secret", "Ingress", "Job", "Role"].map((kind) => `apiVersion: v1\nkind: ${kind}\n`).join("---\n"),
        Corefile: ".:1053 {\n    kubernetes cluster.local {\n        manifests k8s\n    }\n}\n",
      });
      expect(await ndots(["check", ...args], { cwd: folder.path })).to.include({
        code: 0,
        stdout: "k8s/web.yaml:1: warning: kind Sevice is skipped; did you mean Service?\n",
      });
    });
  }

  for (const text of ["", "# nothing but a comment\n", "(snippet) {\n    whoami\n}\n"]) {
    it(`a Corefile without a server block is an error: ${JSON.stringify(text)}`, async () => {
      using folder = temporaryFolder({ Corefile: text });
      const { code, stdout } = await ndots(["check"], { cwd: folder.path });
      expect(stdout).to.match(/^Corefile:1: no server block/);
      expect(code).to.equal(1);
      expect(await ndots(["serve", "-p", "0"], { cwd: folder.path })).to.include({ code: 1, stderr: stdout });
    });
  }

  it("colours findings on a terminal, unless NO_COLOR is set", async function () {
    needsPrograms(this, "script");
    using folder = temporaryFolder({ Corefile: WRONG });
    const onTerminal = async (NO_COLOR: string): Promise<string> => {
      const args = ["-qec", `"${process.execPath}" "${cli}" check`, "/dev/null"];
      await using running = startProcess("script", args, { cwd: folder.path, env: { NO_COLOR, TERM: "xterm" } });
      return (await running.ended).stdout;
    };
    expect(await onTerminal("")).to.include("\u001b[31mCorefile:3");
    expect(await onTerminal("1")).to.not.include("\u001b");
  });

  it("a reader that goes away is no fault", async () => {
    using folder = temporaryFolder({ Corefile: WRONG });
    const pipe = `"${process.execPath}" "${cli}" check | true`;
    await using running = startProcess("/bin/sh", ["-c", pipe], { cwd: folder.path });
    expect(await running.ended).to.include({ code: 0, stderr: "" });
  });
});
