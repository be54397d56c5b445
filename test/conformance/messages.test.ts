// What tables of records don't show: sizes and truncation, errors in a bare header, compression, TCP. By RFC.

import { expect } from "chai";
import { decodeMessage, type DecodedMessage } from "../../src/dns/decode.ts";
import { Flags, HEADER_BYTES, MAX_MESSAGE_BYTES } from "../../src/dns/message.ts";
import { rcodeName } from "../../src/dns/text.ts";
import { startServer } from "../../src/index.ts";
import { service, slice } from "../../src/testing.ts";
import { headerOf, query, tcpConnection, uint16s, type QueryOptions } from "../helpers/dns-client.ts";
import { needs } from "../helpers/needs.ts";
import { exchange, isOurs, startSubject, type Subject, type Way } from "./subject.ts";

const WEB = "web.default.svc.cluster.local.";
const BIG = "big.default.svc.cluster.local.";
/** Addresses of BIG. */
const BIG_COUNT = 121;
const POINTER_TO_QNAME = "c00c";

describe("RFC 1035, 6891, 7766: messages", () => {
  let subject: Subject;

  before(async () => {
    subject = await startSubject();
  });

  after(async () => {
    await subject[Symbol.asyncDispose]();
  });

  const waysBy = (transport: Way["transport"]): Way[] => subject.ways.filter((way) => way.transport === transport);

  async function ask(way: Way, options: QueryOptions): Promise<{ message: DecodedMessage; bytes: Buffer }> {
    const bytes = await exchange(way, query(options));
    const message = bytes === undefined ? undefined : decodeMessage(bytes);
    if (bytes === undefined || message === undefined) throw new Error(`${way.name}: no sound answer`);
    return { message, bytes };
  }

  const sizes: readonly (readonly [rule: string, edns: QueryOptions["edns"], mostBytes: number])[] = [
    ["RFC 1035 §4.2.1 without EDNS: 512", undefined, 512],
    ["RFC 6891 §6.2.3 less than 512 is 512", { udpSize: 100 }, 512],
    ["RFC 6891 §6.2.5 as the client says", { udpSize: 1000 }, 1000],
    ["1232", { udpSize: 1232 }, 1232],
  ];
  for (const [rule, edns, mostBytes] of sizes) {
    it(`a UDP answer that is too long has what fits, and TC (RFC 2181 §9): ${rule}`, async () => {
      for (const way of waysBy("udp")) {
        const { message, bytes } = await ask(way, { name: BIG, edns });
        expect(bytes.length, "bytes").to.be.at.most(mostBytes);
        expect(message.flags & Flags.TC, "TC").to.equal(Flags.TC);
        // A compressed A record has 16 bytes, so that no other would have fitted.
        expect(bytes.length, "bytes").to.be.above(mostBytes - 16);
        expect(message.answer.length).to.be.within(1, BIG_COUNT - 1);
      }
    });
  }

  it("no UDP answer is longer than 1232 bytes, whatever the client says (RFC 9715)", async function () {
    needs(this, isOurs, "ndots' own: CoreDNS sends what the client takes");
    for (const way of waysBy("udp")) {
      for (const udpSize of [4096, 65_535]) {
        const { message, bytes } = await ask(way, { name: BIG, edns: { udpSize } });
        expect(bytes.length).to.be.at.most(1232);
        expect(message.flags & Flags.TC).to.equal(Flags.TC);
      }
    }
  });

  it("the additional section is cut first, without TC (RFC 2181 §9)", async () => {
    for (const way of waysBy("udp")) {
      const { message, bytes } = await ask(way, { name: "_http._tcp.wide.default.svc.cluster.local.", type: "SRV" });
      expect(bytes.length).to.be.at.most(512);
      expect(message.flags & Flags.TC).to.equal(0);
      expect(message.answer).to.have.length(7);
      expect(message.additional.length).to.be.below(7);
    }
  });

  it("TCP carries all of it (RFC 7766 §5)", async () => {
    for (const way of waysBy("tcp")) {
      const { message } = await ask(way, { name: BIG });
      expect(message.answer).to.have.length(BIG_COUNT);
      expect(message.flags & Flags.TC).to.equal(0);
    }
  });

  it("the owner of an answer points at the question (RFC 1035 §4.1.4)", async function () {
    needs(this, isOurs, "ndots' own: CoreDNS compresses long answers only");
    for (const way of subject.ways) {
      const packet = query({ name: "wEb.default.svc.cluster.local." });
      const bytes = (await exchange(way, packet)) as Buffer;
      expect(bytes.subarray(packet.length, packet.length + 2).toString("hex")).to.equal(POINTER_TO_QNAME);
    }
  });

  const OPCODES = [1, 2, 4, 5, 6, 15];
  it(`opcodes ${OPCODES.join(", ")} get NOTIMP in a bare header (RFC 1035 §4.1.1, RFC 1996, RFC 8906 §8.3)`, async function () {
    needs(this, isOurs, "ndots' own: CoreDNS answers NOTIFY");
    for (const way of subject.ways) {
      for (const opcode of OPCODES) {
        const bytes = (await exchange(way, query({ name: WEB, flags: (opcode << 11) | Flags.RD }))) as Buffer;
        expect(bytes).to.have.length(HEADER_BYTES);
        expect(headerOf(bytes)).to.deep.include({ id: 1, opcode, counts: [0, 0, 0, 0] });
        expect(rcodeName(headerOf(bytes).rcode)).to.equal("NOTIMP");
      }
    }
  });

  const malformed: readonly (readonly [rule: string, packet: Buffer])[] = [
    ["RFC 9619 §4 no question", uint16s(1, Flags.RD, 0, 0, 0, 0)],
    ["RFC 9619 §4 two questions", query({ name: WEB, counts: [2, 0, 0, 0] })],
    ["RFC 1035 §4.1 an answer in a query", query({ name: WEB, counts: [1, 1, 0, 0] })],
    ["RFC 9267 §2 a pointer to itself", Buffer.concat([uint16s(1, Flags.RD, 1, 0, 0, 0), Buffer.from("c00c00010001", "hex")])],
    [
      "RFC 6891 §6.1.1 two OPT records",
      query({ name: WEB, counts: [1, 0, 0, 2], edns: {}, trailer: Buffer.from("0000290200000000000000", "hex") }),
    ],
    ["the type of an OPT record", query({ name: WEB, type: "OPT" })],
  ];
  for (const [rule, packet] of malformed) {
    it(`FORMERR in a bare header: ${rule}`, async function () {
      needs(this, isOurs, "ndots' own: others answer with SERVFAIL, or not at all");
      for (const way of subject.ways) {
        const bytes = (await exchange(way, packet)) as Buffer;
        expect(bytes).to.have.length(HEADER_BYTES);
        expect(rcodeName(headerOf(bytes).rcode)).to.equal("FORMERR");
      }
    });
  }

  it("a response is never answered, and the question behind it is (RFC 5452 §9.3)", async () => {
    for (const way of waysBy("tcp")) {
      const connection = await tcpConnection(way.target);
      connection.send(query({ name: WEB, id: 1, flags: Flags.QR }), query({ name: WEB, id: 2 }));
      expect(headerOf((await connection.receive()) as Buffer).id).to.equal(2);
      connection.close();
    }
  });

  it("reasons are only for those who sent an OPT record (RFC 8914 §3)", async () => {
    for (const way of subject.ways) {
      const { message } = await ask(way, { name: "nosuch.default.svc.cluster.local." });
      expect(message.edns).to.equal(undefined);
      expect(rcodeName(message.rcode)).to.equal("NXDOMAIN");
    }
  });

  it("a connection takes many queries, also in one segment (RFC 7766 §6.2.1)", async () => {
    const ids = Array.from({ length: 50 }, (_, index) => index + 1);
    for (const way of waysBy("tcp")) {
      const connection = await tcpConnection(way.target);
      connection.send(...ids.map((id) => query({ name: id % 2 === 0 ? WEB : "nosuch.default.svc.cluster.local.", id })));
      const answered = new Map<number, string>();
      for (const _ of ids) {
        const { id, rcode } = headerOf((await connection.receive()) as Buffer);
        answered.set(id, rcodeName(rcode));
      }
      expect(answered).to.deep.equal(new Map(ids.map((id) => [id, id % 2 === 0 ? "NOERROR" : "NXDOMAIN"])));
      connection.send(query({ name: WEB, id: 51 }));
      expect(headerOf((await connection.receive()) as Buffer).id, "and goes on").to.equal(51);
      connection.close();
    }
  });

  it("a client that has closed its side gets its answers, then FIN (RFC 7766 §6.2.3)", async () => {
    for (const way of waysBy("tcp")) {
      const connection = await tcpConnection(way.target);
      connection.send(query({ name: WEB, id: 7 }));
      connection.end();
      expect(headerOf((await connection.receive()) as Buffer).id).to.equal(7);
      expect(await connection.ended).to.equal("fin");
      connection.close();
    }
  });
});

describe("RFC 1035 §4.2.2: more than a TCP message can hold", () => {
  it("has what fits into 65,535 bytes, and TC", async function () {
    needs(this, isOurs, "the fixture has no Service that is so large");
    await using dns = await startServer();
    const endpoints = Array.from({ length: 5_000 }, (_, index) => `10.244.${index >> 8}.${index & 255}`);
    dns.registry.apply(
      { verb: "upsert", object: service({ name: "huge", headless: true }) },
      { verb: "upsert", object: slice({ service: "huge", endpoints }) },
    );
    const connection = await tcpConnection(dns.address);
    for (const name of ["huge.default.svc.cluster.local.", WEB]) connection.send(query({ name }));
    const bytes = [await connection.receive(), await connection.receive()].sort((a, b) => (b?.length ?? 0) - (a?.length ?? 0))[0] as Buffer;
    connection.close();
    const message = decodeMessage(bytes) as DecodedMessage;
    expect(message.flags & Flags.TC, "TC").to.equal(Flags.TC);
    expect(bytes.length).to.be.within(MAX_MESSAGE_BYTES - 16, MAX_MESSAGE_BYTES);
    expect(new Set(message.answer.map(({ rdata }) => rdata.join("."))).size, "each once").to.equal(message.answer.length);
  });
});
