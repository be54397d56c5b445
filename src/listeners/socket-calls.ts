// Opening a socket with the kernel's own calls, and asking it: what udp-socket.ts and tcp-socket.ts have in common. All on
// the main thread. See socket(7), ipv6(7).

import type { ListenAddress } from "./listener.ts";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, type Native } from "./native.ts";
import { addressAt, portAt, putAddress, SOCKADDR_BYTES } from "./sockaddr.ts";

export interface BoundSocket {
  readonly fd: number;
  readonly bound: ListenAddress;
}

export const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** Nothing in it is its own but room for arguments. */
export class SocketCalls {
  readonly #native: Native;
  // In a buffer of its own: a small typed array may lie in V8's heap and move.
  readonly #bytes = new Uint8Array(new ArrayBuffer(256));
  /** Arguments and results, at `at`. */
  readonly words: Int32Array = new Int32Array(this.#bytes.buffer);
  readonly at: number;

  constructor(native: Native) {
    this.#native = native;
    this.at = native.addressOf(this.#bytes);
  }

  /** Opens, prepares and binds; one on IPv6 is dual-stack. Throws as Node would, with `code`, and leaves nothing open. */
  open(type: number, host: string, port: number, sharing: "alone" | "shared", prepare: (fd: number) => void): BoundSocket {
    const isIPv6 = host.includes(":");
    const fd = this.check("socket", this.#native.socket(isIPv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
    try {
      if (isIPv6) this.set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
      if (sharing === "shared") this.share(fd);
      prepare(fd);
      const length = putAddress(this.#bytes, host, port);
      this.check("bind", this.#native.bind(fd, this.at, length));
      return { fd, bound: this.#boundOf(fd) };
    } catch (error) {
      this.#native.close(fd);
      throw error;
    }
  }

  /** Lets other sockets that are shared have its address too; also once it is bound. */
  share(fd: number): void {
    this.set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  }

  connect(fd: number, { address, port }: ListenAddress): number {
    return this.#native.connect(fd, this.at, putAddress(this.#bytes, address, port));
  }

  set(fd: number, level: number, option: number, value: number): void {
    this.words[0] = value;
    this.check("setsockopt", this.#native.setsockopt(fd, level, option, this.at, Int32Array.BYTES_PER_ELEMENT));
  }

  check(call: string, result: number): number {
    if (result >= 0) return result;
    const code = this.#native.errorName(-result);
    throw Object.assign(new Error(`${call} ${code}`), { code, errno: result, syscall: call });
  }

  #boundOf(fd: number): ListenAddress {
    const lengthAt = 16; // in words, behind the address
    this.words[lengthAt] = SOCKADDR_BYTES;
    this.check("getsockname", this.#native.getsockname(fd, this.at, this.at + lengthAt * Int32Array.BYTES_PER_ELEMENT));
    return { address: addressAt(this.#native, this.#bytes, 0), port: portAt(this.#bytes, 0) };
  }
}
