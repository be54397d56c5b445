// Whether this system has the batch listener's calls: found out at the start, said in words where it has not.

import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { loadNative } from "../../src/listeners/native.ts";
import { needsPrograms } from "../helpers/needs.ts";
import { root } from "../helpers/source-tree.ts";

const REFUSE = fileURLToPath(new URL("../helpers/refuse-calls.py", import.meta.url));
const CALLS = process.arch === "arm64" ? { recvmmsg: 243, sendmmsg: 269 } : { recvmmsg: 299, sendmmsg: 307 };
const built = join(root, "dist/listeners/native.js");

// What loadNative() says in a process of its own.
async function missingIn(module: string, ...before: readonly string[]): Promise<string> {
  const script = `const { loadNative } = await import(${JSON.stringify(pathToFileURL(module).href)});
    console.log((await loadNative()).missing ?? "nothing");`;
  const [command, ...rest] = [...before, process.execPath];
  const { stdout } = await promisify(execFile)(command, [...rest, "--input-type=module", "-e", script]);
  return stdout.trim();
}

describe("listeners/native", () => {
  it("this system has the calls", async () => {
    expect(await loadNative()).not.to.have.property("missing");
    expect(await missingIn(built)).to.equal("nothing");
  });

  it("errors have the kernel's names, interfaces theirs", async () => {
    const native = await loadNative();
    if ("missing" in native) throw new Error(native.missing);
    expect([native.errorName(98), native.errorName(4095)]).to.deep.equal(["EADDRINUSE", "errno 4095"]);
    expect([native.interfaceName(1), native.interfaceName(987_654)]).to.deep.equal(["lo", "987654"]);
    expect(native.errorName(-native.close(-1))).to.equal("EBADF");
  });

  for (const [call, number] of Object.entries(CALLS)) {
    it(`a container that may not call ${call} is told apart`, async function () {
      needsPrograms(this, "python3");
      expect(await missingIn(built, "python3", REFUSE, String(number))).to.equal(`${call}: EPERM`);
    });
  }

  it("without koffi the reason is one line", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ndots-"));
    try {
      copyFileSync(built, join(folder, "native.mjs"));
      expect(await missingIn(join(folder, "native.mjs"))).to.match(/^koffi can't be loaded: Cannot find package 'koffi'.*$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
