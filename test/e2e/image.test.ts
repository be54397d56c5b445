// The image without a container engine: the Dockerfile's runtime stages laid out in a folder, run in namespaces of its
// own as uid 65532 on a read-only root, under the security context of the stock CoreDNS Deployment. Needs root.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { expect } from "chai";
import { inherited, lastOf, parseDockerfile, type Instruction, type Stage } from "../helpers/dockerfile.ts";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { root, startProcess, type Running } from "../helpers/ndots-process.ts";

const NET_BIND_SERVICE = "10"; // linux/capability.h
const stages = parseDockerfile(readFileSync(join(root, "Dockerfile"), "utf8"));
const standard = stages.at(-1) as Stage;
const nocap = stages.find(({ name }) => name === "nocap") as Stage;

describe("the image", function () {
  this.timeout(60_000);
  const images = new Map<Stage, string>();

  before(function () {
    needsRoot(this);
    needsPrograms(this, "unshare", "nsenter", "setcap", "ip", "python3", "dig", "ldd");
    for (const stage of [standard, nocap]) images.set(stage, layOut(inherited(stages, stage)));
  });

  after(() => {
    for (const folder of images.values()) rmSync(folder, { recursive: true, force: true });
  });

  const rows: readonly { title: string; stage: Stage; capabilities: string; sysctl?: string }[] = [
    { title: "runs with all dropped but NET_BIND_SERVICE and no privilege escalation", stage: standard, capabilities: NET_BIND_SERVICE },
    {
      title: "nocap: runs with everything dropped where the sysctl allows port 53",
      stage: nocap,
      capabilities: "-",
      sysctl: "net/ipv4/ip_unprivileged_port_start=0",
    },
  ];
  for (const { title, stage, capabilities, sysctl } of rows) {
    it(`${title}: serves /zones on port 53 without arguments, ends on SIGTERM with 0`, async () => {
      await using running = start(stage, { capabilities, ...(sysctl === undefined ? {} : { sysctl }) });
      await running.shows(/^ndots-/m);
      expect(dig(running, "+short", "kube-dns.kube-system.svc.cluster.local")).to.equal("10.0.0.10\n");
      expect(dig(running, "+short", "+tcp", "kube-dns.kube-system.svc.cluster.local")).to.equal("10.0.0.10\n");
      expect(statusOf(running))
        .to.match(/^Uid:\t65532\t65532\t65532\t65532$/m)
        .and.match(/^NoNewPrivs:\t1$/m);
      process.kill(pidOf(running), "SIGTERM");
      const { code, stdout } = await running.ended;
      expect(stdout).to.include("[INFO] SIGTERM: Shutting down servers then terminating");
      expect(code).to.equal(0);
    });

    it(`${title}: takes -conf in place of its own arguments`, async () => {
      await using running = start(stage, { capabilities, ...(sysctl === undefined ? {} : { sysctl }), args: ["-version"] });
      expect(await running.ended).to.deep.include({ code: 0, stderr: "" });
    });
  }

  it("the default can't be executed where NET_BIND_SERVICE is not in the bounding set: what nocap is for", async () => {
    await using running = start(standard, { capabilities: "-", args: ["-version"] });
    const { code, stderr } = await running.ended;
    expect(stderr).to.match(/Operation not permitted/);
    expect(code).to.not.equal(0);
  });

  interface StartOptions {
    readonly capabilities: string;
    /** `path=value` below /proc/sys. */
    readonly sysctl?: string;
    /** In place of CMD. */
    readonly args?: readonly string[];
  }

  function start(stage: Stage, { capabilities, sysctl = "", args }: StartOptions): Running {
    const image = images.get(stage) as string;
    const instructions = inherited(stages, stage);
    const [uid = ""] = (lastOf(instructions, "USER")?.[0] ?? "").split(":");
    const command = [...(lastOf(instructions, "ENTRYPOINT") ?? []), ...(args ?? lastOf(instructions, "CMD") ?? [])];
    const script = `
      mount --make-rprivate /
      mount --bind "$1" "$1"
      mount -t proc proc "$1/proc"
      mount -o remount,bind,ro "$1"
      ip link set lo up
      if [ -n "$2" ]; then mount -o remount,rw /proc/sys 2>/dev/null || mount -t proc proc /proc; printf %s "\${2#*=}" > "/proc/sys/\${2%%=*}"; fi
      image=$1; shift 2
      exec python3 "${join(root, "test/e2e/container.py")}" "$image" "$@"`;
    const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child"];
    return startProcess("unshare", [...namespaces, "/bin/sh", "-euc", script, "sh", image, sysctl, uid, capabilities, ...command]);
  }

  function dig(running: Running, ...args: readonly string[]): string {
    const inside = ["-t", String(pidOf(running)), "--net", "dig", "@127.0.0.1", "+time=2", "+tries=1", ...args];
    return execFileSync("nsenter", inside).toString();
  }

  // unshare's only child, PID 1 of the container.
  function pidOf({ child }: Running): number {
    return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim());
  }

  function statusOf(running: Running): string {
    return readFileSync(`/proc/${pidOf(running)}/status`, "utf8");
  }
});

// The files that the COPY instructions bring, what the base image brings (libc and friends), and a mount at /zones.
function layOut(instructions: readonly Instruction[]): string {
  const image = mkdtempSync(join(tmpdir(), "ndots-image-"));
  chmodSync(image, 0o755);
  let workdir = "/";
  for (const { keyword, words, flags } of instructions) {
    if (keyword === "WORKDIR") workdir = words[0] ?? "/";
    if (keyword !== "COPY") continue;
    const target = resolve(workdir, words.at(-1) ?? "");
    for (const source of words.slice(0, -1)) {
      const intoFolder = words.at(-1)?.endsWith("/") === true;
      copy(source, flags["from"], join(image, intoFolder ? join(target, basename(source)) : target));
    }
  }
  for (const library of librariesOf(process.execPath)) copyFile(library, join(image, library));
  for (const folder of ["proc", "tmp", "dev"]) mkdirSync(join(image, folder));
  cpSync(join(root, "zones"), join(image, "zones"), { recursive: true, filter: (path) => !path.endsWith("Corefile") });
  return image;
}

function copy(source: string, stage: string | undefined, target: string): void {
  if (source === "/usr/local/bin/node") {
    copyFile(realpathSync(process.execPath), target);
    if (stage === "setcap") execFileSync("setcap", ["cap_net_bind_service=+ep", target]);
  } else if (source === "/app/node_modules") {
    for (const folder of productionPackages()) cpSync(join(root, folder), join(dirname(target), folder), { recursive: true });
  } else {
    cpSync(join(root, source.replace(/^\/app\//, "")), target, { recursive: true });
  }
}

function copyFile(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
}

// What `npm prune --omit=dev` leaves.
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([folder, { dev, optional }]) => folder !== "" && dev !== true && optional !== true)
    .map(([folder]) => folder);
}

function librariesOf(program: string): string[] {
  const listed = execFileSync("ldd", [program]).toString();
  return [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
}
