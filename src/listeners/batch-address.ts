// An address of the batch listener and its sockets, one for each thread. Used by batch.ts.

import { bindAddress, listenError, openBeside, type Neighbour } from "./bind.ts";
import type { ListenAddress } from "./listener.ts";
import { ownAddresses } from "./own-addresses.ts";
import type { AnsweredBy, Served } from "./thread-slot.ts";
import type { UdpSocket, UdpSockets } from "./udp-socket.ts";

/** share() is called for each start of a thread, once for all addresses that give the same function. */
export interface BatchAddress extends ListenAddress, AnsweredBy {}

/** An address that is open, with a socket for each thread. */
export class Address implements Served, Neighbour {
  by: AnsweredBy;
  received = 0;
  isLeaving = false;
  #bound: ListenAddress;
  readonly #sockets: UdpSockets;
  readonly #open: (UdpSocket | undefined)[] = [];
  #isOwn: (address: string) => boolean = () => false;
  #closedDrops = 0;

  constructor(options: BatchAddress, sockets: UdpSockets) {
    this.by = options;
    this.#bound = { address: options.address, port: options.port };
    this.#sockets = sockets;
  }

  /** Opens the first socket, which is bound alone, so that an address in use is refused. */
  async bind(others: readonly Address[]): Promise<void> {
    const { port } = this.#bound;
    const first = await bindAddress("udp", this.#bound, async (host) =>
      openBeside(host, port, others, (sharing) => this.#sockets.open(host, port, sharing)),
    );
    this.#open[0] = first;
    this.#bound = first.bound;
    this.#isOwn = ownAddresses(first.bound.address);
  }

  /** Opens a socket for each of so many threads. */
  openAll(threads: number): void {
    try {
      for (let thread = 1; thread < threads; thread++) this.open(thread);
    } catch (error) {
      this.closeAll();
      throw listenError("udp", this.#bound, error);
    }
  }

  get bound(): ListenAddress {
    return this.#bound;
  }

  get address(): string {
    return this.#bound.address;
  }

  get port(): number {
    return this.#bound.port;
  }

  get fd(): number | undefined {
    return this.#open.find((socket) => socket !== undefined)?.fd;
  }

  get receiveBufferBytes(): number {
    return this.#sockets.receiveBufferBytes(this.#open[0] as UdpSocket);
  }

  get onShed(): (() => void) | undefined {
    return this.by.onShed;
  }

  isOwnAddress(address: string): boolean {
    return this.#isOwn(address);
  }

  get openSockets(): number {
    return this.#open.filter((socket) => socket !== undefined).length;
  }

  socketOf(thread: number): UdpSocket {
    return this.#open[thread] as UdpSocket;
  }

  open(thread: number): void {
    if (this.#open[thread] !== undefined) return;
    this.reusePort();
    this.#open[thread] = this.#sockets.open(this.address, this.port, "shared");
  }

  /** Its packets go to the sockets of other threads, if there are any. What it holds stays, until discard(). */
  retire(thread: number): UdpSocket | undefined {
    const socket = this.#open[thread];
    if (socket === undefined || this.openSockets === 1) return socket;
    this.#sockets.retire(socket);
    this.#open[thread] = undefined;
    return socket;
  }

  close(thread: number): void {
    const socket = this.#open[thread];
    if (socket !== undefined) this.discard(socket);
  }

  discard(socket: UdpSocket): void {
    this.#closedDrops += this.#sockets.drops(socket);
    this.#sockets.close(socket);
    const thread = this.#open.indexOf(socket);
    if (thread >= 0) this.#open[thread] = undefined;
  }

  closeAll(): void {
    for (const thread of this.#open.keys()) this.close(thread);
  }

  kernelDrops(): number {
    return this.#open.reduce((sum, socket) => sum + (socket === undefined ? 0 : this.#sockets.drops(socket)), this.#closedDrops);
  }

  reusePort(): void {
    for (const socket of this.#open) if (socket !== undefined) this.#sockets.share(socket);
  }
}
