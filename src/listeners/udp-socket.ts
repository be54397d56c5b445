// Opens and asks the batch listener's sockets, all on the main thread: several on one address share its packets by
// SO_REUSEPORT, yet an address that somebody else has is refused. See socket(7), udp(7), ipv6(7).

import { addressToBytes } from "../dns/rdata.ts";
import { SOCK_DGRAM, type Native } from "./native.ts";
import { RECEIVE_TIMEOUT_MS } from "./batch-shared.ts";
import { RECEIVE_BUFFER_BYTES } from "./receive-buffer.ts";
import { SOL_SOCKET, SocketCalls, type BoundSocket } from "./socket-calls.ts";

export interface UdpSocket extends BoundSocket {
  /** Its packets say which address was asked, in control data that the reply carries back. */
  readonly hasPacketInfo: boolean;
}

const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_MEMINFO = 55;
const MEMINFO_WORDS = 9;
const MEMINFO_DROPS = 8; // linux/sock_diag.h: SK_MEMINFO_DROPS
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const DISCARD_PORT = 9; // RFC 863

/** A send buffer that stays full this long is an interface that takes nothing: its replies are dropped. */
const SEND_TIMEOUT_MS = 20;

/** Sockets of this process. */
export class UdpSockets {
  readonly #native: Native;
  readonly #calls: SocketCalls;

  constructor(native: Native) {
    this.#native = native;
    this.#calls = new SocketCalls(native);
  }

  /** Opens and binds. `shared`: other sockets that are shared may have the address too. Throws as Node would, with `code`. */
  open(host: string, port: number, sharing: "alone" | "shared"): UdpSocket {
    const wire = addressToBytes(host);
    const hasPacketInfo = wire?.every((byte) => byte === 0) === true;
    const socket = this.#calls.open(SOCK_DGRAM, host, port, sharing, (fd) => {
      if (hasPacketInfo && wire.length === 4) this.#calls.set(fd, IPPROTO_IP, IP_PKTINFO, 1);
      else if (hasPacketInfo) this.#calls.set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
      this.#setTimeout(fd, SO_RCVTIMEO, RECEIVE_TIMEOUT_MS);
      this.#setTimeout(fd, SO_SNDTIMEO, SEND_TIMEOUT_MS);
      this.#calls.set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    });
    return { ...socket, hasPacketInfo };
  }

  /** From now on further sockets may be opened on its address. Set once it is bound: the first bind says whether the address is free. */
  share({ fd }: UdpSocket): void {
    this.#calls.share(fd);
  }

  /**
   * From now on its packets go to the others that share its address; what it holds stays. Connected, it is passed over by
   * the kernel unless the sender is its peer (since Linux 5.4; before, it goes on receiving): here, a port that nobody sends from.
   */
  retire({ fd, bound, hasPacketInfo }: UdpSocket): void {
    const loopback = bound.address.includes(":") ? "::1" : "127.0.0.1";
    const address = hasPacketInfo ? loopback : bound.address;
    this.#calls.connect(fd, { address, port: DISCARD_PORT }); // where it can't be, packets of the next microseconds are lost with the socket
  }

  close({ fd }: UdpSocket): void {
    this.#native.close(fd);
  }

  receiveBufferBytes({ fd }: UdpSocket): number {
    const { words, at } = this.#calls;
    words[0] = 0;
    words[1] = Int32Array.BYTES_PER_ELEMENT;
    this.#calls.check("getsockopt", this.#native.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, at, at + 4));
    return words[0];
  }

  /** Packets that found its receive buffer full, modulo 2^32. */
  drops({ fd }: UdpSocket): number {
    const { words, at } = this.#calls;
    words.fill(0);
    words[MEMINFO_WORDS] = MEMINFO_WORDS * Int32Array.BYTES_PER_ELEMENT;
    this.#native.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, at, at + MEMINFO_WORDS * Int32Array.BYTES_PER_ELEMENT);
    return (words[MEMINFO_DROPS] as number) >>> 0;
  }

  // struct timeval of two 64-bit words
  #setTimeout(fd: number, option: number, ms: number): void {
    const { words, at } = this.#calls;
    words.fill(0, 0, 4);
    words[2] = ms * 1000;
    this.#calls.check("setsockopt", this.#native.setsockopt(fd, SOL_SOCKET, option, at, 16));
  }
}
