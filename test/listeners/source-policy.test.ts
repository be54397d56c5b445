// Which senders are never answered.

import { expect } from "chai";
import { sourceDefect } from "../../src/listeners/source-policy.ts";

describe("listeners/source-policy: C1, C73, C74", () => {
  const rows: { from: string; port?: number; gives: string | undefined }[] = [
    { from: "192.0.2.1", gives: undefined },
    { from: "192.0.2.1", port: 0, gives: "source_port_zero" },
    { from: "2001:db8::1", port: 0, gives: "source_port_zero" },
    ...[7, 13, 19, 37].map((port) => ({ from: "192.0.2.1", port, gives: "source_port_reflector" })),
    ...[1, 6, 8, 12, 14, 18, 20, 36, 38, 53, 65_535].map((port) => ({ from: "192.0.2.1", port, gives: undefined })),
    { from: "0.0.0.0", gives: "source_unspecified" },
    { from: "::", gives: "source_unspecified" },
    { from: "::1", gives: undefined },
    { from: "255.255.255.255", gives: "source_broadcast" },
    { from: "223.255.255.255", gives: undefined },
    { from: "224.0.0.1", gives: "source_multicast" },
    { from: "239.255.255.255", gives: "source_multicast" },
    { from: "240.0.0.1", gives: undefined },
    { from: "255.0.2.1", gives: undefined },
    { from: "2.24.0.1", gives: undefined },
    { from: "22.4.0.1", gives: undefined },
    { from: "ff02::1", gives: "source_multicast" },
    { from: "ff00::", gives: "source_multicast" },
    { from: "ff::1", gives: undefined },
    { from: "ff:1:2::", gives: undefined },
    { from: "fe80::1%eth0", gives: undefined },
    { from: "fd00:10::1", gives: undefined },
    { from: "2001:db8::1", gives: undefined },
    { from: "2a00::1", gives: undefined },
  ];
  for (const { from, port = 40_000, gives } of rows) {
    it(`${from} port ${port}: ${gives ?? "answered"}`, () => expect(sourceDefect(from, port)).to.equal(gives));
  }
});
