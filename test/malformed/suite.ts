// Sends the wrong packets to a running server, over UDP and over TCP, and behind each a sound query: what it does with
// the one never costs it the other. Run over the bare listeners here, and over the whole server in its own test.

import { expect } from "chai";
import { headerOf, query, tcpConnection, udpClient, type Target } from "../helpers/dns-client.ts";
import { malformedPackets, type MalformedPacket } from "./packets.ts";

const HEADER_BYTES = 12;
const CONTROL_ID = 0x4242;
const RCODES = { FORMERR: 1, NOTIMP: 4 } as const;

/** `target` is asked for in each test, so that the server may start in a hook. One port for both transports, or two targets. */
export function malformedSuite(name: string, target: (transport: "udp" | "tcp") => Target): void {
  describe(`${name}: malformed packets over UDP`, () => {
    for (const row of malformedPackets) {
      it(titleOf(row), async () => {
        const client = await udpClient(target("udp"));
        client.send(row.packet);
        client.send(query({ id: CONTROL_ID }));
        // A query that goes down the chain may be overtaken by the control query.
        const received = [await client.receive(), ...(row.gives === "drop" ? [] : [await client.receive()])];
        judge(row, received);
        client.close();
      });
    }
  });

  describe(`${name}: malformed packets over TCP`, () => {
    for (const row of malformedPackets) {
      it(titleOf(row), async () => {
        const client = await tcpConnection(target("tcp"));
        client.send(row.packet, query({ id: CONTROL_ID }));
        if (row.packet.length < HEADER_BYTES) {
          expect(await client.receive()).to.equal(undefined); // closed (C64)
        } else {
          const received = [await client.receive(), ...(row.gives === "drop" ? [] : [await client.receive()])];
          judge(row, received);
        }
        client.close();
      });
    }
  });
}

function titleOf(row: MalformedPacket): string {
  return `${row.rule}: ${row.gives} (${row.case})`;
}

function judge(row: MalformedPacket, received: readonly (Buffer | undefined)[]): void {
  const control = received.find((packet) => packet !== undefined && headerOf(packet).id === CONTROL_ID);
  expect(control, "the query behind it is answered").to.not.equal(undefined);
  if (row.gives === "drop") return;
  const answer = received.find((packet) => packet !== control);
  if (answer === undefined) throw new Error("no answer");
  const sent = headerOf(row.packet);
  const { id, flags, opcode, rcode, counts } = headerOf(answer);
  expect(id).to.equal(sent.id);
  expect(flags & 0x8000, "QR").to.equal(0x8000);
  expect(opcode).to.equal(sent.opcode);
  if (row.gives === "answer") {
    expect(counts[0]).to.equal(1);
    const end = questionEnd(row.packet);
    expect(answer.subarray(HEADER_BYTES, end).equals(row.packet.subarray(HEADER_BYTES, end)), "the question as sent").to.equal(true);
  } else {
    expect(rcode).to.equal(RCODES[row.gives]);
    expect(flags & ~0x7800, "QR, RD and the rcode alone").to.equal(0x8000 | (sent.flags & 0x0100) | rcode);
    expect(answer.length, "a header and no more").to.equal(HEADER_BYTES);
    expect(counts).to.deep.equal([0, 0, 0, 0]);
  }
}

function questionEnd(packet: Buffer): number {
  let at = HEADER_BYTES;
  while (packet[at] !== 0) at += 1 + (packet[at] ?? 0);
  return at + 5; // the root byte, type and class
}
