// The mutations of upstreams' answers between sockets: a scripted upstream over UDP and TCP, the plugins that look at foreign
// answers, and clients over UDP and TCP, which each ask twice, so that what was remembered is told, too.

import { createServer, type AddressInfo, type Socket } from "node:net";
import { expect } from "chai";

import { MAX_MESSAGE_BYTES, Rcodes } from "../../src/dns/message.ts";
import { startServer, type RunningServer } from "../../src/index.ts";
import { service } from "../../src/testing.ts";
import { headerOf, query, tcpConnection, udpAsk, udpClient, uint16s } from "../helpers/dns-client.ts";
import { fakeLog } from "../helpers/fake-host.ts";
import { collectGarbage } from "../helpers/garbage.ts";
import { answerTo, readAsked, type Asked, type Behaviour } from "../helpers/upstream-answers.ts";
import { startUpstream } from "../helpers/upstream.ts";
import { compressed, faults, shapes } from "./foreign.ts";
import { drawFrom, grown, mutations, strangers, type Mutation } from "./mutations.ts";

/** What stands in front of `forward`, and how clients call the names that the upstream has below example.org. */
const CHAINS: readonly { readonly title: string; readonly lines: string; readonly suffix: string }[] = [
  { title: "forward alone", lines: "", suffix: "example.org." },
  { title: "cache and loadbalance", lines: "cache {\n serve_stale\n prefetch 1\n }\n loadbalance", suffix: "example.org." },
  {
    title: "rewrite, there and back",
    lines: "rewrite ttl suffix example.org. 5-60\n rewrite stop {\n name suffix .alias.test. .example.org.\n answer auto\n }\n cache",
    suffix: "alias.test.",
  },
  {
    title: "autopath",
    lines: "autopath @kubernetes\n cache\n loadbalance\n kubernetes cluster.local",
    suffix: "example.org.default.svc.cluster.local.",
  },
  { title: "dns64, minimal and header", lines: "dns64\n minimal\n header {\n response set rd\n }\n cache", suffix: "example.org." },
];

const QUESTIONS = 280;
const AT_ONCE = 140;

type Wrongs = readonly (readonly [name: string, mutation: Mutation])[];

const wrong: Wrongs = [
  ...Object.entries(mutations),
  ["60 KB", (message) => grown(message, 60_000)],
  ["64 KiB", (message) => grown(message, MAX_MESSAGE_BYTES)],
];
/** What is no answer is waited out. */
const wrongOrNone: Wrongs = [...wrong, ...Object.entries(strangers)];

// The number in a name decides what is answered, and what is wrong with it. Other names do not exist: autopath makes sure of that.
function script(asked: Asked, all: Wrongs): Behaviour {
  const found = /^q(\d+)\./.exec(asked.name)?.[1];
  if (found === undefined) return { rcode: Rcodes.NXDOMAIN };
  const number = Number(found);
  const shape = shapes[number % shapes.length] as (typeof shapes)[number];
  const [, mutation] = all[number % all.length] as (typeof all)[number];
  return { ...shape.given(asked.name), noEdns: true, change: (message) => mutation(compressed(message), drawFrom(number + 1)) };
}

function questionOf(number: number, suffix: string): Buffer {
  const { type } = shapes[number % shapes.length] as (typeof shapes)[number];
  const edns = [undefined, {}, { udpSize: 4096, dnssecOk: true }][number % 3];
  return query({ name: `q${number}.${suffix}`, type, id: number, edns });
}

/** What is wrong with the server's answers to all questions, each asked once. */
async function ask(dns: RunningServer, suffix: string, transport: "udp" | "tcp", rcodes: Map<number, number>): Promise<string[]> {
  const client = transport === "udp" ? await udpClient(dns.address) : await tcpConnection(dns.address);
  const found: string[] = [];
  try {
    for (let first = 1; first <= QUESTIONS; first += AT_ONCE) {
      const waiting = new Map(Array.from({ length: AT_ONCE }, (_, index) => [first + index, questionOf(first + index, suffix)]));
      for (const packet of waiting.values()) client.send(packet);
      for (let left = waiting.size; left > 0; left--) {
        const packet = await client.receive(5000);
        if (packet === undefined) return [...found, `no answer to ${[...waiting.keys()].join(", ")}`];
        const { id, rcode } = headerOf(packet);
        rcodes.set(rcode, (rcodes.get(rcode) ?? 0) + 1);
        const asked = waiting.get(id);
        if (asked === undefined) return [...found, `an answer to ${id}`];
        waiting.delete(id);
        const limit = transport === "tcp" ? MAX_MESSAGE_BYTES : [512, 1232, 1232][id % 3];
        const seen = faults(packet, asked, limit as number);
        if (seen.length > 0) found.push(`q${id}: ${seen.join(", ")}`);
      }
    }
  } finally {
    client.close();
  }
  return found;
}

describe("malformed: answers of upstreams, through a server", function () {
  this.timeout(30_000);

  for (const { title, lines, suffix } of CHAINS) {
    for (const transport of ["udp", "tcp"] as const) {
      it(`${title}, from ${transport}`, async () => {
        const log = fakeLog();
        const all = lines === "" ? wrongOrNone : wrong;
        const rcodes = new Map<number, number>();
        await using upstream = await startUpstream({ script: (asked) => script(asked, all), listen: [transport] });
        const forward = `forward . ${upstream.to} {\n read_timeout ${all === wrong ? 500 : 50}ms\n max_fails 0\n ${transport === "tcp" ? "force_tcp" : ""}\n }`;
        await using dns = await startServer({ corefile: `. {\n ${lines}\n ${forward}\n}`, log });
        dns.registry.apply({ verb: "upsert", object: service({ name: "web", clusterIPs: ["10.96.0.7"] }) });
        for (const client of ["udp", "tcp"] as const) expect(await ask(dns, suffix, client, rcodes), client).to.deep.equal([]);
        expect(log.lines.filter((line) => /panic|ERROR/.test(line))).to.deep.equal([]);
        expect(rcodes.get(Rcodes.NOERROR), "answers that were taken").to.be.greaterThan(QUESTIONS / 4);
        upstream.behave({ answer: "www.example.org. 60 IN A 192.0.2.1" });
        const good = await udpAsk(dns.address, query({ name: "www.example.org." }), 5000);
        expect(good && headerOf(good).counts[1], "a good answer behind all that").to.equal(1);
      });
    }
  }
});

/** Frames of a stream that are no answers, and their sum in bytes. */
const FRAMES = 1500;
const FRAME_BYTES = 65_537;

describe("malformed: streams of upstreams", () => {
  it("empty frames and frames of others, 100 MB of them, are let go; the answer behind them is taken", async function () {
    this.timeout(30_000);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const flooded = new Promise<number>((resolve, reject) => {
      server.once("connection", (socket) => {
        socket.on("error", reject);
        socket.once("data", (chunk: Buffer) => void flood(socket, chunk).then(resolve, reject));
      });
    });
    const { port } = server.address() as AddressInfo;
    await using dns = await startServer({
      corefile: `. {\n forward . 127.0.0.1:${port} {\n force_tcp\n max_fails 0\n read_timeout 20s\n }\n}`,
    });
    const answer = await udpAsk(dns.address, query({ name: "www.example.org." }), 20_000);
    server.close();
    expect(answer && headerOf(answer).counts[1]).to.equal(1);
    expect(await flooded, "bytes of buffers held, beyond those before").to.be.lessThan(8_000_000);
  });
});

/** Sends frames that are no answer to the query in `chunk`, at the pace of the reader, then the answer. Gives what the reader has kept. */
async function flood(socket: Socket, chunk: Buffer): Promise<number> {
  const asked = readAsked(chunk.subarray(2), "tcp", 1);
  if (asked === undefined) throw new Error("not a query");
  const frame = Buffer.concat([uint16s(FRAME_BYTES - 2, asked.id ^ 1), Buffer.alloc(FRAME_BYTES - 4, 0xff)]);
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (let left = FRAMES; left > 0; left--) {
    const isWritten = socket.write(Buffer.concat([uint16s(0, 0, 0), frame]));
    if (!isWritten) await new Promise((resolve) => socket.once("drain", resolve));
  }
  collectGarbage();
  const kept = process.memoryUsage().arrayBuffers - before;
  const answer = answerTo(asked, { answer: "www.example.org. 60 IN A 192.0.2.1" }, []);
  socket.end(Buffer.concat([uint16s(answer.length), answer]));
  return kept;
}
