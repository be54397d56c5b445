// Opens and asks the batch listener's sockets, all on the main thread: several on one address share its packets by
// SO_REUSEPORT, yet an address that somebody else has is refused. See socket(7), udp(7), ipv6(7).

import { addressAt, portAt, putAddress, SOCKADDR_BYTES } from "./sockaddr.ts";

import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, type Native } from "./native.ts";
import type { ListenAddress } from "./listener.ts";
import { RECEIVE_TIMEOUT_MS } from "./batch-shared.ts";
import { RECEIVE_BUFFER_BYTES } from "./receive-buffer.ts";

export interface UdpSocket {
  readonly fd: number;
  readonly bound: ListenAddress;
  /** Its packets say which address was asked, in control data that the reply carries back. */
  readonly hasPacketInfo: boolean;
}

const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_MEMINFO = 55;
const MEMINFO_WORDS = 9;
const MEMINFO_DROPS = 8; // linux/sock_diag.h: SK_MEMINFO_DROPS
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;

const DISCARD_PORT = 9; // RFC 863

/** A send buffer that stays full this long is an interface that takes nothing: its replies are dropped. */
const SEND_TIMEOUT_MS = 20;

/** Sockets of this process; nothing in it is its own but room for arguments. */
export class UdpSockets {
  readonly #native: Native;
  // In a buffer of its own: a small typed array may lie in V8's heap and move.
  readonly #bytes = new Uint8Array(new ArrayBuffer(256));
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #at: number;

  constructor(native: Native) {
    this.#native = native;
    this.#at = native.addressOf(this.#bytes);
  }

  /** Opens and binds. `shared`: other sockets that are shared may have the address too. Throws as Node would, with `code`. */
  open(host: string, port: number, sharing: "alone" | "shared"): UdpSocket {
    const native = this.#native;
    const length = putAddress(this.#bytes, host, port);
    const address = this.#bytes.slice(0, length);
    const isIPv6 = address[0] === AF_INET6;
    const isWildcard = address.subarray(isIPv6 ? 8 : 4).every((byte) => byte === 0);
    const fd = this.#check("socket", native.socket(isIPv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    try {
      if (isIPv6) this.#set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
      if (isWildcard) {
        if (isIPv6) this.#set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        else this.#set(fd, IPPROTO_IP, IP_PKTINFO, 1);
      }
      this.#setTimeout(fd, SO_RCVTIMEO, RECEIVE_TIMEOUT_MS);
      this.#setTimeout(fd, SO_SNDTIMEO, SEND_TIMEOUT_MS);
      this.#set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
      if (sharing === "shared") this.#set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
      this.#bytes.set(address);
      this.#check("bind", native.bind(fd, this.#at, length));
      return { fd, bound: this.#boundOf(fd), hasPacketInfo: isWildcard };
    } catch (error) {
      native.close(fd);
      throw error;
    }
  }

  /** From now on further sockets may be opened on its address. Set once it is bound: the first bind says whether the address is free. */
  share({ fd }: UdpSocket): void {
    this.#set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  }

  /**
   * From now on its packets go to the others that share its address; what it holds stays. Connected, it is passed over by
   * the kernel unless the sender is its peer (since Linux 5.4; before, it goes on receiving): here, a port that nobody sends from.
   */
  retire({ fd, bound, hasPacketInfo }: UdpSocket): void {
    const isIPv6 = bound.address.includes(":");
    const loopback = isIPv6 ? "::1" : "127.0.0.1";
    const length = putAddress(this.#bytes, hasPacketInfo ? loopback : bound.address, DISCARD_PORT);
    this.#native.connect(fd, this.#at, length); // where it can't be, packets of the next microseconds are lost with the socket
  }

  close({ fd }: UdpSocket): void {
    this.#native.close(fd);
  }

  receiveBufferBytes({ fd }: UdpSocket): number {
    this.#words[0] = 0;
    this.#words[1] = Int32Array.BYTES_PER_ELEMENT;
    this.#check("getsockopt", this.#native.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, this.#at, this.#at + 4));
    return this.#words[0];
  }

  /** Packets that found its receive buffer full, modulo 2^32. */
  drops({ fd }: UdpSocket): number {
    this.#words.fill(0);
    this.#words[MEMINFO_WORDS] = MEMINFO_WORDS * Int32Array.BYTES_PER_ELEMENT;
    this.#native.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, this.#at, this.#at + MEMINFO_WORDS * Int32Array.BYTES_PER_ELEMENT);
    return (this.#words[MEMINFO_DROPS] as number) >>> 0;
  }

  #boundOf(fd: number): ListenAddress {
    const lengthAt = 16; // in words, behind the address
    this.#words[lengthAt] = SOCKADDR_BYTES;
    this.#check("getsockname", this.#native.getsockname(fd, this.#at, this.#at + lengthAt * Int32Array.BYTES_PER_ELEMENT));
    return { address: addressAt(this.#native, this.#bytes, 0), port: portAt(this.#bytes, 0) };
  }

  #set(fd: number, level: number, option: number, value: number): void {
    this.#words[0] = value;
    this.#check("setsockopt", this.#native.setsockopt(fd, level, option, this.#at, Int32Array.BYTES_PER_ELEMENT));
  }

  // struct timeval of two 64-bit words
  #setTimeout(fd: number, option: number, ms: number): void {
    this.#words.fill(0, 0, 4);
    this.#words[2] = ms * 1000;
    this.#check("setsockopt", this.#native.setsockopt(fd, SOL_SOCKET, option, this.#at, 16));
  }

  #check(call: string, result: number): number {
    if (result >= 0) return result;
    const code = this.#native.errorName(-result);
    throw Object.assign(new Error(`${call} ${code}`), { code, errno: result, syscall: call });
  }
}
