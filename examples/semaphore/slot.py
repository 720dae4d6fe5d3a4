#!/usr/bin/env python3
"""Hold a slot of a pool for a while: slot.py POOL SECONDS

The pool's semaphore has the pool's name. If this program died with the slot, the slot would stay
taken until "poolrun repair". So signals only ask it to stop.
"""
import ctypes
import errno
import os
import signal
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
libc.sem_wait.argtypes = libc.sem_post.argtypes = [ctypes.c_void_p]

name, seconds = sys.argv[1], float(sys.argv[2])
stopped = threading.Event()
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    signal.signal(number, lambda *_: stopped.set())

slots = libc.sem_open(name.encode(), 0)  # the pool must exist
if slots is None:  # SEM_FAILED
    sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")

while libc.sem_wait(slots) != 0:
    if ctypes.get_errno() != errno.EINTR:
        sys.exit(f"sem_wait: {os.strerror(ctypes.get_errno())}")
    if stopped.is_set():
        sys.exit(1)
print("slot taken", flush=True)

stopped.wait(seconds)  # the work

print("slot returned", flush=True)
libc.sem_post(slots)
