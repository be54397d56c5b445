#!/usr/bin/env python3
# Runs a command in which the kernel refuses some system calls, as a container's seccomp profile may (seccomp(2)).
#   refuse-calls.py NUMBER[,NUMBER...] COMMAND [ARGUMENT...]
import ctypes
import os
import struct
import sys

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
ALLOW, EPERM = 0x7FFF0000, 0x00050001
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2

numbers = [int(number) for number in sys.argv[1].split(",")]
program = struct.pack("HBBI", LOAD, 0, 0, 0)  # the call's number
for left, number in zip(range(len(numbers) - 1, -1, -1), numbers):
    program += struct.pack("HBBI", JUMP_IF_EQUAL, left + 1, 0, number)
program += struct.pack("HBBI", RETURN, 0, 0, ALLOW) + struct.pack("HBBI", RETURN, 0, 0, EPERM)
code = ctypes.create_string_buffer(program)
filter_program = struct.pack("H6xQ", len(numbers) + 3, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, FILTER, filter_program) != 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
