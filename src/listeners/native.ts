// The kernel's calls that Node has no words for, through koffi: recvmmsg, sendmmsg and what a UDP socket needs. Called
// by the batch listener's two sides. Results are as the kernel gives them, an error as a negative errno, so that the hot
// loop throws nothing. recvmmsg and sendmmsg go through syscall(2): the layout of their arguments is then the kernel's on
// every libc, and musl's sendmmsg() is a loop of sendmsg().

import { arch, platform } from "node:process";

/** Addresses are plain numbers: user space lies below 2^52 on both architectures. */
export interface Native {
  /** Where a view's memory is. It must be of an ArrayBuffer or SharedArrayBuffer that somebody keeps. */
  addressOf(view: Uint8Array): number;
  recvmmsg(fd: number, messages: number, count: number, flags: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  poll(entries: number, count: number, timeoutMs: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: number, bytes: number): number;
  connect(fd: number, address: number, bytes: number): number;
  getsockname(fd: number, address: number, bytesAt: number): number;
  setsockopt(fd: number, level: number, option: number, value: number, bytes: number): number;
  getsockopt(fd: number, level: number, option: number, value: number, bytesAt: number): number;
  listen(fd: number, backlog: number): number;
  /** Another descriptor of the same socket. */
  duplicate(fd: number): number;
  close(fd: number): number;
  /** eth0 for its number; the number where there is no such interface. */
  interfaceName(index: number): string;
  /** EADDRINUSE for its number. */
  errorName(errno: number): string;
}

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITFORONE = 0x10000;
const F_DUPFD_CLOEXEC = 1030;
export const EINTR = 4;
export const EAGAIN = 11;

/** malloc.h */
const M_MMAP_THRESHOLD = -3;
/** What glibc begins with. */
const MMAP_THRESHOLD_BYTES = 128 * 1024;

/** IF_NAMESIZE is 16; a buffer of this size never lies in V8's own heap, where it could move. */
const NAME_BUFFER_BYTES = 256;

// arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
const SYSCALLS: Readonly<Partial<Record<string, { readonly recvmmsg: number; readonly sendmmsg: number }>>> = {
  x64: { recvmmsg: 299, sendmmsg: 307 },
  arm64: { recvmmsg: 243, sendmmsg: 269 },
};

/** The calls, or why this system has none. */
export async function openNative(): Promise<Native | { readonly missing: string }> {
  const numbers = SYSCALLS[arch];
  if (platform !== "linux" || numbers === undefined) return { missing: `${platform} on ${arch}: it is for Linux on x64 and arm64` };
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    const message = ["long", "int", "uintptr_t", "uint", "int", "uintptr_t"];
    const syscall = libc.func("syscall", "long", message);
    const poll = libc.func("poll", "int", ["uintptr_t", "ulong", "int"]);
    const socket = libc.func("socket", "int", ["int", "int", "int"]);
    const bind = libc.func("bind", "int", ["int", "uintptr_t", "uint"]);
    const connect = libc.func("connect", "int", ["int", "uintptr_t", "uint"]);
    const getsockname = libc.func("getsockname", "int", ["int", "uintptr_t", "uintptr_t"]);
    const setsockopt = libc.func("setsockopt", "int", ["int", "int", "int", "uintptr_t", "uint"]);
    const getsockopt = libc.func("getsockopt", "int", ["int", "int", "int", "uintptr_t", "uintptr_t"]);
    const listen = libc.func("listen", "int", ["int", "int"]);
    const fcntl = libc.func("fcntl", "int", ["int", "int", "int"]);
    const close = libc.func("close", "int", ["int"]);
    const ifIndexToName = libc.func("if_indextoname", "uintptr_t", ["uint", "uintptr_t"]);
    const nameBuffer = Buffer.from(new ArrayBuffer(NAME_BUFFER_BYTES));
    const nameAt = Number(koffi.address(nameBuffer));
    const names = new Map(Object.entries(koffi.os.errno).map(([name, errno]) => [errno, name]));
    const result = (value: number): number => (value < 0 ? -koffi.errno() : value);
    return {
      addressOf: (view) => Number(koffi.address(view)),
      recvmmsg: (fd, messages, count, flags) => result(syscall(numbers.recvmmsg, fd, messages, count, flags, 0) as number),
      sendmmsg: (fd, messages, count, flags) => result(syscall(numbers.sendmmsg, fd, messages, count, flags, 0) as number),
      poll: (entries, count, timeoutMs) => result(poll(entries, count, timeoutMs) as number),
      socket: (domain, type, protocol) => result(socket(domain, type, protocol) as number),
      bind: (fd, address, bytes) => result(bind(fd, address, bytes) as number),
      connect: (fd, address, bytes) => result(connect(fd, address, bytes) as number),
      getsockname: (fd, address, bytesAt) => result(getsockname(fd, address, bytesAt) as number),
      setsockopt: (fd, level, option, value, bytes) => result(setsockopt(fd, level, option, value, bytes) as number),
      getsockopt: (fd, level, option, value, bytesAt) => result(getsockopt(fd, level, option, value, bytesAt) as number),
      listen: (fd, backlog) => result(listen(fd, backlog) as number),
      duplicate: (fd) => result(fcntl(fd, F_DUPFD_CLOEXEC, 0) as number),
      close: (fd) => result(close(fd) as number),
      interfaceName: (index) =>
        ifIndexToName(index, nameAt) === 0 ? String(index) : nameBuffer.toString("latin1", 0, nameBuffer.indexOf(0)),
      errorName: (errno) => names.get(errno) ?? `errno ${errno}`,
    };
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { missing: `koffi can't be loaded: ${line}` };
  }
}

/** Undefined with the reason where this system has no batch path: found out by receiving on a socket, as seccomp may refuse. */
export async function loadNative(): Promise<Native | { readonly missing: string }> {
  const native = await openNative();
  if (!("missing" in native)) await keepMmapThreshold();
  return "missing" in native ? native : (refusal(native) ?? native);
}

// glibc gives large blocks mappings of their own, but raises what it calls large with each that is freed, up to 32 MiB. Then
// what the threads and tables of a reload leave are holes in the heap: 1 MiB of RSS a reload, up to hundreds (mallopt(3)).
async function keepMmapThreshold(): Promise<void> {
  try {
    const { default: koffi } = await import("koffi");
    koffi.load(null).func("mallopt", "int", ["int", "int"])(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
  } catch {
    // Another libc: musl's has no such call, and no need of it.
  }
}

function refusal(native: Native): { readonly missing: string } | undefined {
  const memory = new Uint8Array(new ArrayBuffer(512));
  const fd = native.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return { missing: `socket: ${native.errorName(-fd)}` };
  try {
    // One message without room for anything: nothing has come, so the kernel says EAGAIN where it lets us ask at all.
    const received = native.recvmmsg(fd, native.addressOf(memory), 1, MSG_DONTWAIT);
    if (received < 0 && received !== -EAGAIN) return { missing: `recvmmsg: ${native.errorName(-received)}` };
    // To nowhere: EDESTADDRREQ.
    const sent = native.sendmmsg(fd, native.addressOf(memory), 1, MSG_DONTWAIT);
    const name = sent < 0 ? native.errorName(-sent) : "";
    return sent === -EAGAIN || name === "EDESTADDRREQ" || sent >= 0 ? undefined : { missing: `sendmmsg: ${name}` };
  } finally {
    native.close(fd);
  }
}
