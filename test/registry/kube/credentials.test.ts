// Where credentials come from, and when they are read again: the kubelet replaces a Pod's token under its name.

import { mkdir, mkdtemp, readFile, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { NdotsError } from "../../../src/errors.ts";
import { createCredentials, inClusterAccess, parseServer, type Credentials } from "../../../src/registry/kube/credentials.ts";
import { KubeError } from "../../../src/registry/kube/kube-error.ts";
import { fakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { fakeLog } from "../../helpers/fake-host.ts";
import { fixture } from "./api-server.ts";

describe("credentials in a Pod", () => {
  let folder: string;
  let clock: FakeClock;
  let lines: string[];
  let credentials: Credentials;
  const env = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ndots-credentials-"));
    await swap("one", "ca.crt");
    for (const name of ["token", "ca.crt"]) await symlink(join("..data", name), join(folder, name));
    clock = fakeClock();
    lines = [];
    credentials = createCredentials(inClusterAccess(env, folder), { clock, log: fakeLog(lines) });
  });
  afterEach(() => rm(folder, { recursive: true }));

  // As the kubelet does: a new folder, and the link `..data` set to it in one step.
  async function swap(token: string, authority: string): Promise<void> {
    const version = `..${token}`;
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "token"), token);
    await writeFile(join(folder, version, "ca.crt"), await readFile(fixture(authority)));
    await symlink(version, join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  }
  const token = async (): Promise<string | undefined> => (await credentials.current()).authorization;

  it("are read again after a minute, through the symlink that has been swapped; the authority with the token", async () => {
    const first = await credentials.current();
    expect(first.authorization).to.equal("Bearer one");
    await swap("two", "other-ca.crt");
    await clock.advance(59_999);
    expect(await credentials.current()).to.equal(first);
    await clock.advance(1);
    const second = await credentials.current();
    expect(second.authorization).to.equal("Bearer two");
    expect(second.ca).to.equal((await readFile(fixture("other-ca.crt"), "utf8")).trim());
  });

  it("stay the same object while the files say the same, so that connections stay", async () => {
    const first = await credentials.current();
    await clock.advance(60_000);
    expect(await credentials.current()).to.equal(first);
    expect(await credentials.renew(first)).to.equal(first);
  });

  it("are read at once after a 401, but not again for a request that was sent with older ones (C100)", async () => {
    const first = await credentials.current();
    await swap("two", "ca.crt");
    const second = await credentials.renew(first);
    expect(second.authorization).to.equal("Bearer two");
    await swap("three", "ca.crt");
    expect(await credentials.renew(first)).to.equal(second);
    expect((await credentials.renew(second)).authorization).to.equal("Bearer three");
  });

  it("are read with the next request after a TLS error", async () => {
    await token();
    await swap("two", "ca.crt");
    credentials.expire();
    expect(await token()).to.equal("Bearer two");
  });

  it("that can't be read again stay in use, and are told of once a fault", async () => {
    expect(await token()).to.equal("Bearer one");
    await unlink(join(folder, "token"));
    for (let minute = 0; minute < 3; minute++) {
      await clock.advance(60_000);
      expect(await token()).to.equal("Bearer one");
    }
    await writeFile(join(folder, "token"), "");
    await clock.advance(60_000);
    expect(await token()).to.equal("Bearer one");
    const said = "[WARNING] credentials for the API server can't be read again, the last ones stay in use:";
    expect(lines).to.deep.equal([
      `${said} ${join(folder, "token")}: can't be read: no such file`,
      `${said} ${join(folder, "token")}: is empty`,
    ]);
    await writeFile(join(folder, "token"), "two");
    await clock.advance(60_000);
    expect(await token()).to.equal("Bearer two");
  });

  it("that can't be read at first are an error, until they can", async () => {
    await rename(join(folder, "..data"), join(folder, "away"));
    const error = await token().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(KubeError).with.property("kind", "credentials");
    await rename(join(folder, "away"), join(folder, "..data"));
    expect(await token()).to.equal("Bearer one");
  });

  it("without anything in PEM for an authority are an error: nothing is trusted by mistake", async () => {
    await swap("two", "make.sh");
    const error = await token().catch((thrown: unknown) => thrown);
    expect((error as Error).message).to.equal(`${join(folder, "ca.crt")}: holds nothing in PEM`);
  });
});

describe("the API server of the own cluster", () => {
  it("is what the kubelet's environment says, IPv4 or IPv6", () => {
    const server = (host: string): string =>
      inClusterAccess({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: "6443" }).server.origin;
    expect(server("10.96.0.1")).to.equal("https://10.96.0.1:6443");
    expect(server("fd00::1")).to.equal("https://[fd00::1]:6443");
    expect(server("api.example.org")).to.equal("https://api.example.org:6443");
  });

  it("is not to be found outside of a Pod, and that is said", () => {
    for (const env of [{}, { KUBERNETES_SERVICE_HOST: "10.96.0.1" }, { KUBERNETES_SERVICE_HOST: "", KUBERNETES_SERVICE_PORT: "443" }]) {
      expect(() => inClusterAccess(env)).to.throw(NdotsError, /^not in a Pod: .* name a `kubeconfig` or an `endpoint`$/);
    }
    expect(() => inClusterAccess({ KUBERNETES_SERVICE_HOST: "a b", KUBERNETES_SERVICE_PORT: "443" })).to.throw(NdotsError, /no address/);
  });
});

describe("a server's URL", () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ["https://api:6443", "https://api:6443/"],
    ["api:6443", "http://api:6443/"],
    ["[::1]:8080", "http://[::1]:8080/"],
    ["https://host/k8s/clusters/c-1", "https://host/k8s/clusters/c-1"],
    ["https://user:password@host", undefined],
    ["https://host/?a=b", undefined],
    ["https://host/#a", undefined],
    ["unix:///run/api.sock", undefined],
    ["https://", undefined],
    ["a b", undefined],
  ];
  for (const [text, href] of cases) {
    it(`${text} ${href === undefined ? "is refused" : `is ${href}`}`, () => {
      expect(parseServer(text, "http")?.href).to.equal(href);
    });
  }
});
