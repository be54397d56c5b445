# Starts a program as a container runtime does, for container.ts: chroot, capabilities, user, no_new_privs, exec.
# usage: container.py ROOT UID CAPABILITIES(comma separated numbers, or -) ENVIRONMENT(JSON) PROGRAM [ARGUMENT...]
# As in runc, the capabilities stay permitted across the change of user; exec then keeps those that the file grants.
import ctypes
import json
import os
import sys

PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 24, 38
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def call(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


root, uid, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3]
capabilities = [] if wanted == "-" else [int(number) for number in wanted.split(",")]
last = int(open("/proc/sys/kernel/cap_last_cap").read())

os.chroot(root)
os.chdir("/app")
for number in range(last + 1):
    if number not in capabilities:
        call(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
call(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
mask = sum(1 << number for number in capabilities)
header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
data = (ctypes.c_uint32 * 6)(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0, mask >> 32, mask >> 32, 0)
call(libc.capset(header, data))
call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
os.execve(sys.argv[5], sys.argv[5:], json.loads(sys.argv[4]))
