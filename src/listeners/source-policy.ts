// Which UDP sources are never answered, whatever they ask. Called for each packet before anything else, so it
// looks at a few characters and allocates nothing. Addresses come as node:dgram gives them, mapped IPv4 unmapped.

/** Why a packet is dropped unread; the `reason` label of `ndots_dropped_packets_total`. */
export type SourceDefect = "source_port_zero" | "source_port_reflector" | "source_unspecified" | "source_broadcast" | "source_multicast";

/** What is wrong with the sender, if anything. Our own address and port is the listener's to know. */
export function sourceDefect(address: string, port: number): SourceDefect | undefined {
  if (port <= LAST_REFLECTOR_PORT) {
    // No reply can reach port 0, and dgram.send() throws on it: one such packet would end the process.
    if (port === 0) return "source_port_zero";
    // echo, daytime, chargen, time: they answer anything, our answer too, and so on for ever.
    if (port === 7 || port === 13 || port === 19 || port === 37) return "source_port_reflector";
  }
  switch (address.charCodeAt(0)) {
    case 0x30: // "0"
      return address === "0.0.0.0" ? "source_unspecified" : undefined;
    case 0x32: // "2": 224.0.0.0/4 (RFC 5771 §3), or the limited broadcast
      if (address.charCodeAt(3) !== DOT) return undefined;
      if (address === "255.255.255.255") return "source_broadcast";
      return address >= "224." && address < "240." ? "source_multicast" : undefined;
    case 0x3a: // ":"
      return address === "::" ? "source_unspecified" : undefined;
    case 0x66: // "f": ff00::/8 (RFC 4291 §2.7); "ff:" and "fff:" are short for 00ff and 0fff
      if (address.charCodeAt(1) !== 0x66 || address.charCodeAt(4) !== COLON) return undefined;
      return address.charCodeAt(2) === COLON || address.charCodeAt(3) === COLON ? undefined : "source_multicast";
    default:
      return undefined;
  }
}

const LAST_REFLECTOR_PORT = 37;
const DOT = 0x2e;
const COLON = 0x3a;
