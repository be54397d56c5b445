// Opens the TCP thread's listening sockets, on the main thread: they are there before the thread is, and outlive it. Node
// has no words for a second descriptor of a socket, nor for looking whether clients wait without accepting them.

import { fstatSync } from "node:fs";
import { SOCK_STREAM, type Native } from "./native.ts";
import { SOL_SOCKET, SocketCalls, type BoundSocket } from "./socket-calls.ts";
import { BACKLOG } from "./accepting.ts";

export interface TcpSocket extends BoundSocket {
  /** Which socket it is, whatever its descriptor. */
  readonly inode: bigint;
}

const SO_REUSEADDR = 2; // the port is ours again at once, whatever connections of ours are in TIME_WAIT
const POLLIN = 1;

/** Sockets of this process. */
export class TcpSockets {
  readonly #native: Native;
  readonly #calls: SocketCalls;

  constructor(native: Native) {
    this.#native = native;
    this.#calls = new SocketCalls(native);
  }

  /** Opens, binds and listens. `shared`: other sockets that are shared may have the port too. Throws as Node would, with `code`. */
  open(host: string, port: number, sharing: "alone" | "shared"): TcpSocket {
    const socket = this.#calls.open(SOCK_STREAM, host, port, sharing, (fd) => this.#calls.set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    try {
      this.#calls.check("listen", this.#native.listen(socket.fd, BACKLOG));
      return { ...socket, inode: inodeOf(socket.fd) };
    } catch (error) {
      this.#native.close(socket.fd);
      throw error;
    }
  }

  /** From now on sockets of other addresses may be opened on its port, where one is the wildcard. */
  share({ fd }: TcpSocket): void {
    this.#calls.share(fd);
  }

  /** Another descriptor of the socket. */
  duplicate({ fd }: TcpSocket): number {
    return this.#calls.check("fcntl", this.#native.duplicate(fd));
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
    const { words, at } = this.#calls;
    words[0] = fd;
    words[1] = POLLIN;
    return this.#native.poll(at, 1, 0) > 0;
  }
}

function inodeOf(fd: number): bigint {
  return fstatSync(fd, { bigint: true }).ino;
}
