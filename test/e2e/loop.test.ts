// `loop` in a process of its own: it ends only if asked to, with CoreDNS's words and exit code.

import { expect } from "chai";

import { Rcodes } from "../../src/dns/message.ts";
import { headerOf, query, udpAsk } from "../helpers/dns-client.ts";
import { freePort } from "../helpers/free-port.ts";
import { startNdots, type Running } from "../helpers/ndots-process.ts";

const FOUND =
  /^\[(FATAL|ERROR)\] plugin\/loop: Loop \(127\.0\.0\.1:\d+ -> :\d+\) detected for zone "\.", see \S+ Query: "HINFO \d+\.\d+\."$/m;
const WAIT_MS = 10_000;

function forwardsToItself(port: number, loop: string): Running {
  return startNdots(["-conf", "stdin"], { stdin: `.:${port} {\n ${loop}\n forward . 127.0.0.1:${port}\n}\n` });
}

describe("a server that forwards to itself", function () {
  this.timeout(3 * WAIT_MS);

  it("goes on, and answers SERVFAIL until it is told to stop (C95)", async () => {
    const port = await freePort();
    await using running = forwardsToItself(port, "loop");
    const [, level] = await running.shows(FOUND);
    expect(level).to.equal("ERROR");
    const answer = await udpAsk({ address: "127.0.0.1", port }, query({ edns: {} }), WAIT_MS);
    expect(headerOf(answer ?? Buffer.alloc(12)).rcode).to.equal(Rcodes.SERVFAIL);
    running.child.kill("SIGTERM");
    expect(await running.ended).to.include({ code: 0, stderr: "" });
  });

  it("ends with `fatal`, as CoreDNS does", async () => {
    await using running = forwardsToItself(await freePort(), "loop {\n fatal\n}");
    const { code, stdout } = await running.ended;
    expect(code).to.equal(1);
    expect(FOUND.exec(stdout)?.[1]).to.equal("FATAL");
  });
});
