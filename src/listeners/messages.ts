// Arrays of struct mmsghdr, what recvmmsg and sendmmsg work on (recvmmsg(2), recvmsg(2)). Both sides of the batch
// listener hold some: in memory that both V8 and the kernel see, so that packets and replies are never copied.
//
//   memory   message[0] … message[n-1] │ iovec[0] … │ name[0] … │ control[0] …      then what the owner puts behind
//   message  name 8 │ nameLength 4 (8) │ iov 8 │ iovCount 8 │ control 8 │ controlLength 8 │ flags 4 (8) │ length 4 (8)
//   iovec    base 8 │ length 8

import { EAGAIN, EINTR, type Native } from "./native.ts";
import { isLinkLocal } from "./sockaddr.ts";

/** A call takes so many: at full load the system call's own cost is gone by then, and the first packet waits for the last. */
export const BATCH = 64;
const MESSAGE_BYTES = 64;
const IOVEC_BYTES = 16;
/** struct sockaddr_in6, rounded up to where the next may begin. */
export const NAME_BYTES = 32;
/** Room for the one control message that is asked for, IPV6_PKTINFO: 40 bytes. */
export const CONTROL_BYTES = 40;

const NAME = 0;
const NAME_LENGTH = 8 >> 2;
const IOV = 16 >> 2;
const IOV_COUNT = 24 >> 2;
const CONTROL = 32 >> 2;
const CONTROL_LENGTH = 40 >> 2;
const LENGTH = 56 >> 2;
const IOV_LENGTH = 8 >> 2;
const HIGH_WORD = 2 ** 32;

// struct cmsghdr: length 8 │ level 4 │ type 4 │ then in_pktinfo: ifindex 4 … or in6_pktinfo: address 16 │ ifindex 4
const CMSG_LEVEL = 8;
const CMSG_DATA = 16;
const IPPROTO_IPV6 = 41;

/** What the kernel says of a source address that isn't this machine's own: EINVAL, EADDRNOTAVAIL, ENETUNREACH. */
const NO_SUCH_SOURCE: ReadonlySet<number> = new Set([22, 99, 101]);

/** One array of BATCH messages. */
export class Messages {
  static readonly BYTES: number = BATCH * (MESSAGE_BYTES + IOVEC_BYTES + NAME_BYTES + CONTROL_BYTES);

  /** For the kernel. */
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #at: number;

  /** @param at where in `bytes` it begins, a multiple of 8; `bytes` is a whole buffer */
  constructor(native: Native, bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#base = native.addressOf(bytes);
    this.#at = at;
    this.address = this.#base + at;
    for (let index = 0; index < BATCH; index++) {
      const word = this.#word(index);
      this.#putPointer(word + IOV, this.#iovAt(index));
      this.#words[word + IOV_COUNT] = 1;
      this.setName(index, this.nameAt(index), 0);
      this.setControl(index, this.controlAt(index), 0);
    }
  }

  /** Where the index-th address has its place in `bytes`. */
  nameAt(index: number): number {
    return this.#at + BATCH * (MESSAGE_BYTES + IOVEC_BYTES) + index * NAME_BYTES;
  }

  controlAt(index: number): number {
    return this.#at + BATCH * (MESSAGE_BYTES + IOVEC_BYTES + NAME_BYTES) + index * CONTROL_BYTES;
  }

  nameLength(index: number): number {
    return this.#words[this.#word(index) + NAME_LENGTH] as number;
  }

  controlLength(index: number): number {
    return this.#words[this.#word(index) + CONTROL_LENGTH] as number;
  }

  /** Octets received. */
  length(index: number): number {
    return this.#words[this.#word(index) + LENGTH] as number;
  }

  setName(index: number, nameAt: number, length: number): void {
    const word = this.#word(index);
    this.#putPointer(word + NAME, nameAt);
    this.#words[word + NAME_LENGTH] = length;
  }

  setControl(index: number, controlAt: number, length: number): void {
    const word = this.#word(index);
    this.#putPointer(word + CONTROL, controlAt);
    this.#words[word + CONTROL_LENGTH] = length;
  }

  setPayload(index: number, payloadAt: number, length: number): void {
    const word = this.#iovAt(index) >> 2;
    this.#putPointer(word, payloadAt);
    this.#words[word + IOV_LENGTH] = length;
  }

  setPayloadLength(index: number, length: number): void {
    this.#words[(this.#iovAt(index) >> 2) + IOV_LENGTH] = length;
  }

  /** Takes the control data off a message; returns whether there was any. */
  dropControl(index: number): boolean {
    const word = this.#word(index) + CONTROL_LENGTH;
    const had = this.#words[word] !== 0;
    this.#words[word] = 0;
    return had;
  }

  /** Makes room again for addresses and control data, which the kernel has cut to what it wrote. */
  reset(index: number, controlBytes: number): void {
    const word = this.#word(index);
    this.#words[word + NAME_LENGTH] = NAME_BYTES;
    this.#words[word + CONTROL_LENGTH] = controlBytes;
  }

  #word(index: number): number {
    return (this.#at + index * MESSAGE_BYTES) >> 2;
  }

  #iovAt(index: number): number {
    return this.#at + BATCH * MESSAGE_BYTES + index * IOVEC_BYTES;
  }

  #putPointer(word: number, at: number): void {
    const address = this.#base + at;
    this.#words[word] = address | 0;
    this.#words[word + 1] = (address / HIGH_WORD) | 0;
  }
}

/**
 * Turns the control data of a packet into that of its reply: it leaves from the address that was asked, through the
 * interface that the routes choose; link-local addresses mean something on theirs only.
 */
export function toReplyControl(bytes: Uint8Array, at: number): void {
  const isIPv6 = bytes[at + CMSG_LEVEL] === IPPROTO_IPV6;
  if (isIPv6 && isLinkLocal(bytes, at + CMSG_DATA)) return;
  bytes.fill(0, at + CMSG_DATA + (isIPv6 ? 16 : 0), at + CMSG_DATA + (isIPv6 ? 20 : 4));
}

/**
 * Sends the first `count` messages. One that can't be sent is counted in `failures` by its errno, and the next goes on.
 * A reply can't leave from a broadcast or multicast address, nor from one that is gone: it then goes without control data,
 * from an address that the routes choose.
 */
export function sendAll(native: Native, fd: number, messages: Messages, count: number, flags: number, failures: Float64Array): void {
  let done = 0;
  while (done < count) {
    const sent = native.sendmmsg(fd, messages.address + done * MESSAGE_BYTES, count - done, flags);
    if (sent > 0) {
      done += sent;
    } else if (sent === -EAGAIN) {
      // The interface takes nothing: the clients ask again, and waiting here would hold up all others.
      failures[EAGAIN] = (failures[EAGAIN] as number) + count - done;
      return;
    } else if (sent !== -EINTR && !(NO_SUCH_SOURCE.has(-sent) && messages.dropControl(done))) {
      const errno = Math.min(-sent, failures.length - 1);
      failures[errno] = (failures[errno] as number) + 1;
      done++;
    }
  }
}
