// What a command line gives: exit codes, help, and what a wrong one is told.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ndots, root } from "../helpers/ndots-process.ts";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

interface Row {
  readonly args: string;
  readonly code: number;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
}

const versionLines = new RegExp(
  `^ndots-${version.replaceAll(".", "\\.")}\\n${process.platform}/${process.arch}, node v\\d+\\.\\d+\\.\\d+\\n$`,
);

const rows: readonly Row[] = [
  { args: "-version", code: 0, stdout: versionLines },
  { args: "--version", code: 0, stdout: versionLines },
  { args: "version", code: 0, stdout: versionLines },
  { args: "-plugins", code: 0, stdout: /^root\n[^]*^reload\n[^]*^kubernetes\n[^]*^whoami\n/m },
  { args: "--help", code: 0, stdout: /Usage: ndots [^]*Examples:[^]*Exit codes:/ },
  { args: "-help", code: 0, stdout: /Usage: ndots / },
  { args: "-h", code: 0, stdout: /Usage: ndots / },
  { args: "serve --help", code: 0, stdout: /--port[^]*Example:/ },
  { args: "check --help", code: 0, stdout: /--manifests[^]*Example:/ },
  { args: "env --help", code: 0, stdout: /--namespace[^]*Example:/ },
  { args: "version --help", code: 0, stdout: /Example:/ },
  { args: "chek", code: 2, stderr: /^unknown command "chek"; did you mean check\? / },
  {
    args: "serve check",
    code: 2,
    stderr: /^"check" is a command of its own .*: ndots check \(in a checkout: node dist\/cli\.js check\)$/m,
  },
  { args: "frobnicate", code: 2, stderr: /^unknown command "frobnicate"/ },
  { args: "-cnf Corefile", code: 2, stderr: /^unknown option "-cnf"; did you mean -conf\? / },
  { args: "-qiet", code: 2, stderr: /did you mean -quiet\?/ },
  { args: "--stict", code: 2, stderr: /^unknown option "--stict"; did you mean --strict\? / },
  { args: "check --manifest x", code: 2, stderr: /did you mean --manifests\?/ },
  { args: "-conf", code: 2, stderr: /^-conf: a value is missing$/m },
  { args: "-p 70000", code: 2, stderr: /^-p: a port is 0 to 65535 .*found "70000"$/m },
  { args: "-dns.port domain", code: 2, stderr: /found "domain"/ },
  { args: "-quiet=maybe", code: 2, stderr: /must be true or false/ },
  { args: "--listeners=fast", code: 2, stderr: /fast.*auto, portable/ },
  { args: "-log-format=xml", code: 2, stderr: /xml.*text, json/ },
  { args: "check -o xml", code: 2, stderr: /xml.*text, json/ },
  { args: "env", code: 2, stderr: /--namespace/ },
  { args: "env --namespace Not_A_Namespace", code: 2, stderr: /^--namespace: "Not_A_Namespace": a lowercase RFC 1123 label/ },
  { args: "-conf /nonexistent/Corefile", code: 1, stderr: /^\/nonexistent\/Corefile: can't be read: / },
];

describe("ndots", () => {
  for (const { args, code, stdout = /^$/, stderr = /^$/ } of rows) {
    it(`${args} exits ${code}`, async () => {
      const ended = await ndots(args.split(" "));
      expect(ended.stdout).to.match(stdout);
      expect(ended.stderr).to.match(stderr);
      expect(ended.code).to.equal(code);
    });
  }
});
