// The wrong packets over the portable listeners and the packet reader alone: neither needs the other's mercy.

import { bindPair, type ListenerPair } from "../../src/listeners/bind.ts";
import { tcpListener } from "../../src/listeners/tcp.ts";
import { udpListener } from "../../src/listeners/udp.ts";
import { countedMetrics, fakeResponder, recordedLog } from "../helpers/listening.ts";
import { malformedSuite } from "./suite.ts";

describe("malformed packets, listeners alone", () => {
  let pair: ListenerPair;
  before(async () => {
    const around = { responder: fakeResponder(), log: recordedLog(), metrics: countedMetrics() };
    pair = await bindPair(
      { address: "127.0.0.1", port: 0 },
      { udp: (address) => udpListener({ ...address, ...around }), tcp: (address) => tcpListener({ ...address, ...around }) },
    );
  });
  after(() => Promise.all([pair.udp.stop(0), pair.tcp.stop(0)]));

  malformedSuite("listeners", (transport) => pair[transport].bound);
});
