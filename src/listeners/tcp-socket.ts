// Opens the TCP thread's listening sockets, on the main thread: they are there before the thread is, and outlive it. Node
// has no words for a second descriptor of a socket, nor for looking whether clients wait without accepting them.

import { fstatSync } from "node:fs";
import type { ListenAddress } from "./listener.ts";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_STREAM, type Native } from "./native.ts";
import { BACKLOG } from "./tcp.ts";
import { addressAt, portAt, putAddress, SOCKADDR_BYTES } from "./sockaddr.ts";

export interface TcpSocket {
  readonly fd: number;
  /** Which socket it is, whatever its descriptor. */
  readonly inode: bigint;
  readonly bound: ListenAddress;
}

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2; // the port is ours again at once, whatever connections of ours are in TIME_WAIT
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const POLLIN = 1;

/** Sockets of this process; nothing in it is its own but room for arguments. */
export class TcpSockets {
  readonly #native: Native;
  // In a buffer of its own: a small typed array may lie in V8's heap and move.
  readonly #bytes = new Uint8Array(new ArrayBuffer(256));
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #at: number;

  constructor(native: Native) {
    this.#native = native;
    this.#at = native.addressOf(this.#bytes);
  }

  /** Opens, binds and listens. `shared`: other sockets that are shared may have the port too. Throws as Node would, with `code`. */
  open(host: string, port: number, sharing: "alone" | "shared"): TcpSocket {
    const native = this.#native;
    const isIPv6 = host.includes(":");
    const fd = this.#check("socket", native.socket(isIPv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    try {
      this.#set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      if (isIPv6) this.#set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
      if (sharing === "shared") this.#set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
      const length = putAddress(this.#bytes, host, port);
      this.#check("bind", native.bind(fd, this.#at, length));
      this.#check("listen", native.listen(fd, BACKLOG));
      return { fd, inode: inodeOf(fd), bound: this.#boundOf(fd) };
    } catch (error) {
      native.close(fd);
      throw error;
    }
  }

  /** From now on sockets of other addresses may be opened on its port, where one is the wildcard. */
  share({ fd }: TcpSocket): void {
    this.#set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  }

  /** Another descriptor of the socket. */
  duplicate({ fd }: TcpSocket): number {
    return this.#check("fcntl", this.#native.duplicate(fd));
  }

  close({ fd }: TcpSocket): void {
    this.#native.close(fd);
  }

  /** Closes a duplicate unless that was done: the number may be somebody else's by now. */
  closeDuplicate({ inode }: TcpSocket, duplicate: number): void {
    try {
      if (inodeOf(duplicate) === inode) this.#native.close(duplicate);
    } catch {
      // EBADF: nobody's
    }
  }

  /** A client has connected that nobody has accepted yet. Never waits. */
  hasClient({ fd }: TcpSocket): boolean {
    this.#words[0] = fd;
    this.#words[1] = POLLIN;
    return this.#native.poll(this.#at, 1, 0) > 0;
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

  #check(call: string, result: number): number {
    if (result >= 0) return result;
    const code = this.#native.errorName(-result);
    throw Object.assign(new Error(`${call} ${code}`), { code, errno: result, syscall: call });
  }
}

function inodeOf(fd: number): bigint {
  return fstatSync(fd, { bigint: true }).ino;
}
