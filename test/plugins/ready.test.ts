import { expect } from "chai";

import ready from "../../src/plugins/ready/ready.ts";
import { fakeHost, get, readDirective, setUp } from "../helpers/fake-host.ts";

const kubernetes = { plugin: "kubernetes", reason: "" };
const file = { plugin: "file", reason: "no zone yet" };

describe("plugins/ready", () => {
  it("answers OK on :8181 when every plugin is ready", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready", host);
    expect(host.routes[0]).to.include({ host: "", port: 8181, path: "/ready" });
    expect(await get(host, "/ready")).to.deep.equal({ status: 200, body: "OK" });
  });

  it("answers 503 with the bare sorted list, and logs it with the reasons", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready", host);
    host.waiting = [kubernetes];
    expect(await get(host, "/ready")).to.deep.equal({ status: 503, body: "kubernetes" });
    host.waiting = [kubernetes];
    await get(host, "/ready");
    expect(host.lines).to.deep.equal([
      '[INFO] plugin/ready: Plugins not ready: "kubernetes"',
      '[INFO] plugin/ready: Plugins not ready: "kubernetes"',
    ]);
  });

  it("names a plugin once, with each of its reasons in the log", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready", host);
    host.waiting = [kubernetes, file, { ...kubernetes, reason: "unsynced" }];
    expect(await get(host, "/ready")).to.include({ body: "file,kubernetes" });
    expect(host.lines).to.deep.equal([
      '[INFO] plugin/ready: Plugins not ready: "file,kubernetes" (file: no zone yet; kubernetes: unsynced)',
    ]);
  });

  it("tells the reasons to who asks for them, by the line", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready", host);
    host.waiting = [kubernetes, file];
    expect(await get(host, "/ready?verbose")).to.deep.equal({ status: 503, body: "file,kubernetes\nfile: no zone yet\n" });
    host.waiting = [];
    expect(await get(host, "/ready?verbose")).to.deep.equal({ status: 200, body: "OK" });
  });

  it("does not ask a plugin again that was ready once", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready { \n monitor until-ready\n}", host);
    host.waiting = [kubernetes];
    expect((await get(host, "/ready")).status).to.equal(503);
    host.waiting = [kubernetes, file];
    expect((await get(host, "/ready")).body, "file was ready at first").to.equal("kubernetes");
    host.waiting = [];
    expect((await get(host, "/ready")).status).to.equal(200);
    host.waiting = [kubernetes];
    expect((await get(host, "/ready")).status).to.equal(200);
  });

  it("asks again with monitor continuously", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready {\n monitor continuously\n}", host);
    expect((await get(host, "/ready")).status).to.equal(200);
    host.waiting = [kubernetes];
    expect(await get(host, "/ready")).to.deep.equal({ status: 503, body: "kubernetes" });
    host.waiting = [file];
    expect((await get(host, "/ready")).body, "each goes to and fro").to.equal("file");
    host.waiting = [];
    expect((await get(host, "/ready")).status).to.equal(200);
  });

  it("stays ready through the lameduck time, for queries are answered, and not once they are drained", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready", host);
    host.stopping = true;
    expect((await get(host, "/ready")).status).to.equal(200);
    host.draining = true;
    expect(await get(host, "/ready")).to.deep.equal({ status: 503, body: "Shutting down" });
  });

  it("with ready_in_lameduck off, is not ready from the signal on", async () => {
    const host = fakeHost("ready");
    await setUp(ready, "ready localhost:8091 {\n ready_in_lameduck off\n}", host);
    expect((await get(host, "/ready")).status).to.equal(200);
    host.stopping = true;
    expect((await get(host, "/ready")).status).to.equal(503);
  });

  it("refuses a way to monitor that does not exist", () => {
    expect(readDirective(ready, "ready {\n monitor continuosly\n}").findings.join()).to.contain('did you mean "continuously"?');
  });
});
