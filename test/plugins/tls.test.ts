// The tls directive: what it reads, what it says about files that can't be used, and how changed files are taken over.

import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { FindingsError } from "../../src/errors.ts";
import type { Instance } from "../../src/plugin.ts";
import { followCredentials } from "../../src/plugins/tls/credentials.ts";
import tls, { tell, watcher } from "../../src/plugins/tls/tls.ts";
import { createAuthority } from "../helpers/certificates.ts";
import { fakeHost, readDirective, setUp, type FakeHost } from "../helpers/fake-host.ts";
import { temporaryFolder } from "../helpers/ndots-process.ts";

const authority = createAuthority();
const own = authority.issue({ commonName: "dns", names: ["localhost"] });
const other = authority.issue({ commonName: "other", names: ["localhost"] });
const expired = authority.issue({ commonName: "old", validTo: new Date(Date.now() - 60_000) });
const FILES = {
  "tls.crt": own.cert,
  "tls.key": own.key,
  "ca.crt": authority.cert,
  "other.key": other.key,
  "old.crt": expired.cert,
  "old.key": expired.key,
  "empty.crt": "",
  "garbage.crt": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  "locked.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
};

describe("plugins/tls", () => {
  const folder = temporaryFolder(FILES);
  after(() => folder[Symbol.dispose]());
  const host = (schemes: readonly ("dns" | "tls" | "https")[] = ["tls"]): FakeHost =>
    fakeHost("tls", { file: join(folder.path, "Corefile"), schemes: new Set(schemes) });

  const takes: readonly [line: string, gives: string][] = [
    ["tls tls.crt tls.key", "nocert"],
    ["tls tls.crt tls.key ca.crt", "nocert"],
    ...["nocert", "request", "require", "verify_if_given", "require_and_verify"].map(
      (mode) => [`tls tls.crt tls.key ca.crt {\n client_auth ${mode}\n}`, mode] as [string, string],
    ),
  ];
  for (const [line, gives] of takes) {
    it(line.replaceAll(/\s+/g, " "), async () => {
      const at = host();
      const { tls: offer } = await setUp(tls, line, at);
      expect(offer?.credentials.clientAuth).to.equal(gives);
      expect(offer?.credentials.cert.toString()).to.equal(own.cert);
      expect(offer?.credentials.ca?.toString()).to.equal(line.includes("ca.crt") ? authority.cert : undefined);
      expect([at.reported, at.lines]).to.deep.equal([[], []]);
    });
  }

  it("absolute paths are as they are", async () => {
    expect(
      (await setUp(tls, `tls ${folder.path}/tls.crt ${folder.path}/tls.key`, fakeHost("tls", { schemes: new Set(["https"]) }))).tls,
    ).to.not.equal(undefined);
  });

  const refused: readonly [line: string, says: string][] = [
    ["tls none.crt tls.key", "/none.crt: no such file"],
    ["tls tls.crt none.key", "/none.key: no such file"],
    ["tls tls.crt tls.key none.crt", "/none.crt: no such file"],
    ["tls . tls.key", "is a directory"],
    ["tls empty.crt tls.key", "/empty.crt: holds no certificate in PEM form"],
    ["tls garbage.crt tls.key", "/garbage.crt: holds no certificate in PEM form"],
    ["tls tls.key tls.crt", "/tls.key: holds no certificate in PEM form"],
    ["tls tls.crt tls.crt", "/tls.crt: holds no private key in PEM form"],
    ["tls tls.crt locked.key", "/locked.key: is encrypted, and nobody is asked for its passphrase"],
    ["tls tls.crt other.key", "is not that of the certificate in "],
    ["tls tls.crt tls.key tls.key", "CA "],
  ];
  for (const [line, says] of refused) {
    it(`${line}: refused at its line, in words, and without the key`, async () => {
      const error = await setUp(tls, line, host()).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(FindingsError);
      expect((error as FindingsError).message)
        .to.include("Corefile:2:5: tls: ")
        .and.include(says);
      for (const secret of [own.key, other.key]) expect((error as FindingsError).message).to.not.include(secret.slice(30, 60));
    });
  }

  const wrong: readonly [text: string, says: string][] = [
    ["tls", "Corefile:2:1: tls: expected CERT KEY [CA], found nothing"],
    ["tls tls.crt", 'tls: expected CERT KEY [CA], found "tls.crt"'],
    ["tls a b c d", 'tls: expected CERT KEY [CA], found "a b c d"'],
    ["tls a b {\n client_auth maybe\n}", "must be nocert, request, require, verify_if_given or require_and_verify"],
    ["tls a b {\n keylog f\n}", "tls: keylog: not supported yet"],
    ["tls {\n acme dns.example.org\n}", "tls: acme: not supported yet; have another program renew the certificate"],
    ["tls a b\ntls c d", "this plugin can only be used once per Server Block"],
    ["tls a b {\n session_tickets off\n}", "unknown property 'session_tickets'"],
  ];
  for (const [text, says] of wrong) {
    it(`${text.replaceAll(/\s+/g, " ")} is wrong`, () => {
      expect(readDirective(tls, text).findings.join("\n")).to.include(says);
    });
  }

  it("a certificate that has expired, and one that nothing is served with, are warnings", async () => {
    const at = host(["dns"]);
    await setUp(tls, "tls old.crt old.key", at);
    expect(at.reported.map(({ severity, message }) => `${severity}: ${message}`).join("\n"))
      .to.match(/^warning: tls: certificate .*old\.crt has expired, on \d{4}-/)
      .and.include("warning: tls: nothing is served with it: no key of this server block begins with tls:// or https://");
  });

  it("the metric tells when it expires", async () => {
    const at = host();
    await setUp(tls, "tls tls.crt tls.key", at);
    const [sample] = [...at.metrics.all()].filter(({ name }) => name.includes("expiry")).flatMap(({ collect }) => [...collect()]);
    expect(sample?.labels).to.deep.equal({ file: join(folder.path, "tls.crt") });
    const { validTo } = new X509Certificate(readFileSync(join(folder.path, "tls.crt")));
    expect(sample?.value).to.equal(Date.parse(validTo) / 1000);
  });

  it("stop() before start() is allowed, and so is a start that ends", async () => {
    for (const started of [false, true]) {
      const instance: Instance = await setUp(tls, "tls tls.crt tls.key", host());
      if (started) await instance.start?.();
      await instance.stop?.();
    }
  });
});

describe("plugins/tls: files that change", () => {
  function followed(first: Readonly<Record<string, string>> = { "tls.crt": own.cert, "tls.key": own.key }) {
    const folder = temporaryFolder({});
    const versions = { at: 0 };
    // As kubelet mounts a Secret: the names are links into a folder that is a link, which is swapped.
    const write = (files: Readonly<Record<string, string>>): void => {
      const data = join(folder.path, `..${++versions.at}`);
      mkdirSync(data);
      for (const [name, text] of Object.entries(files)) writeFileSync(join(data, name), text);
      symlinkSync(data, join(folder.path, "..next"));
      renameSync(join(folder.path, "..next"), join(folder.path, "..data"));
    };
    write(first);
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(`..data/${name}`, join(folder.path, name));
    const files = { cert: join(folder.path, "tls.crt"), key: join(folder.path, "tls.key"), ca: undefined };
    const source = followCredentials(files, "nocert", { now: Date.now });
    const events: string[] = [];
    const look = watcher(
      source,
      ({ credentials }) => void events.push(credentials.cert.equals(Buffer.from(other.cert)) ? "other" : "own"),
      (problem) => void events.push(problem.replaceAll(folder.path, "")),
    );
    return { folder, write, source, events, look, path: (name: string): string => join(folder.path, "..data", name) };
  }

  it("nothing is done as long as they say the same, also in another folder", async () => {
    const { folder, write, look, source, events } = followed();
    expect(await source.look()).to.have.property("credentials");
    await look();
    write({ "tls.crt": own.cert, "tls.key": own.key });
    await look();
    expect(events).to.deep.equal([]);
    folder[Symbol.dispose]();
  });

  it("a swap of the link is seen, each time", async () => {
    const { folder, write, look, source, events } = followed();
    await source.look();
    write({ "tls.crt": other.cert, "tls.key": other.key });
    await look();
    write({ "tls.crt": own.cert, "tls.key": own.key });
    await look();
    expect(events).to.deep.equal(["other", "own"]);
    folder[Symbol.dispose]();
  });

  it("a certificate that comes before its key is no reason for a line", async () => {
    const { folder, look, source, events, path } = followed();
    await source.look();
    writeFileSync(path("tls.crt"), other.cert);
    await look();
    expect(events).to.deep.equal([]);
    writeFileSync(path("tls.key"), other.key);
    await look();
    expect(events).to.deep.equal(["other"]);
    folder[Symbol.dispose]();
  });

  it("what stays bad is told once; what is good then is taken, also when it is what there was", async () => {
    const { folder, look, source, events, path } = followed();
    await source.look();
    writeFileSync(path("tls.crt"), "half of a cert");
    for (let looks = 0; looks < 4; looks++) await look();
    expect(events).to.deep.equal(["certificate /tls.crt: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"]);
    writeFileSync(path("tls.crt"), own.cert);
    await look();
    rmSync(path("tls.key"));
    await look();
    await look();
    expect(events.slice(1)).to.deep.equal(["own", "key /tls.key: no such file"]);
    folder[Symbol.dispose]();
  });

  it("a new certificate that has expired is a warning", () => {
    const lines: string[] = [];
    const log = {
      info: (line: string) => void lines.push(`info: ${line}`),
      warning: (line: string) => void lines.push(`warning: ${line}`),
    };
    const validToMs = Date.UTC(2030, 0, 1);
    tell(log, "tls.crt", validToMs, validToMs - 1);
    tell(log, "tls.crt", validToMs, validToMs + 1);
    expect(lines).to.deep.equal([
      "info: new certificate from tls.crt, valid until 2030-01-01 00:00 UTC",
      "warning: new certificate from tls.crt, which has expired, on 2030-01-01 00:00 UTC",
    ]);
  });
});
