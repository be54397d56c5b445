// Preloaded into a server: installs a seccomp filter (seccomp(2)) that refuses recvmmsg with EPERM, as a strict profile of
// a container runtime does. Linux on x64 and arm64.

import koffi from "koffi";

const RECVMMSG = { x64: 299, arm64: 243 }[process.arch];
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const EPERM = 1;

// struct sock_filter { u16 code; u8 jt, jf; u32 k } of linux/filter.h
const program = [
  [0x20, 0, 0, 0], // load the system call's number
  [0x15, 0, 1, RECVMMSG], // is it recvmmsg? else skip one
  [0x06, 0, 0, 0x0005_0000 | EPERM], // SECCOMP_RET_ERRNO
  [0x06, 0, 0, 0x7fff_0000], // SECCOMP_RET_ALLOW
];
const filter = Buffer.from(new ArrayBuffer(256));
program.forEach(([code, jt, jf, k], index) => {
  filter.writeUInt16LE(code, index * 8);
  filter.writeUInt8(jt, index * 8 + 2);
  filter.writeUInt8(jf, index * 8 + 3);
  filter.writeUInt32LE(k >>> 0, index * 8 + 4);
});
// struct sock_fprog { u16 len; struct sock_filter *filter }
const fprog = Buffer.from(new ArrayBuffer(256));
fprog.writeUInt16LE(program.length, 0);
fprog.writeBigUInt64LE(BigInt(koffi.address(filter)), 8);

const prctl = koffi.load(null).func("int prctl(int, unsigned long, uintptr_t, unsigned long, unsigned long)");
if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new Error("prctl: no_new_privs");
if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, Number(koffi.address(fprog)), 0, 0) !== 0) throw new Error("prctl: seccomp");
