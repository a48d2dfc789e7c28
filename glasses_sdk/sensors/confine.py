"""Locks a process in: no network, no other process, and once its devices are open no file to write.

Linux only. The kernel checks each system call (seccomp, by way of libseccomp): what is denied fails
with "operation not permitted", for every thread, and cannot be had back. A process that is locked
in still reads files, starts threads and uses the descriptors that it has, so a camera, a decoder
and a network keep working. Nothing here keeps out somebody who is root or owns the hardware.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["close_all_but", "hide", "lock_in", "seal"]

_NETWORK = (
    "socket socketpair socketcall connect bind listen accept accept4 sendto sendmsg sendmmsg "
    "io_uring_setup io_uring_enter io_uring_register"
)
_OTHER_PROCESSES = (
    "ptrace process_vm_readv process_vm_writev pidfd_getfd execve execveat fork vfork "
    "shmget msgget mq_open add_key"
)
_NEW_FILES = (
    "creat open_by_handle_at mknod mknodat mkdir mkdirat truncate rename renameat renameat2 "
    "link linkat symlink symlinkat setxattr lsetxattr fsetxattr"
)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SIGKILL = 9
_CLONE_THREAD = 0x10000
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_TSYNC = 4  # SCMP_FLTATR_CTL_TSYNC: all threads, or the load fails
_EQUAL, _MASKED_EQUAL = 4, 7


class _Compare(ctypes.Structure):
    """libseccomp's `scmp_arg_cmp`."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _NoMeansError(Exception):
    """This machine has no such means; the sentence says what is missing."""


def hide(parent: int) -> bool:
    """Die with `parent`, and be closed to debuggers of the same user; no core dumps either.

    False when the parent has gone already. Its death is that of the thread that started this
    process.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        libc.prctl(_PR_SET_DUMPABLE, 0)
    return os.getppid() == parent


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor but these; those of them that are sockets then lead to /dev/null."""
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor not in keep:
            with suppress(OSError):  # the one that listed them
                os.close(descriptor)
    for descriptor in keep:
        _blank_a_socket(descriptor)


def lock_in() -> str | None:
    """From now on no socket, no other process: neither started, nor read, nor debugged.

    None once it holds, otherwise why it does not.
    """
    try:
        with _Filter() as rules:
            rules.deny((*_NETWORK.split(), *_OTHER_PROCESSES.split()))
            rules.deny(["clone"], _Compare(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
            rules.deny(["clone3"], error=errno.ENOSYS)  # the C library then takes clone
            rules.deny(["prctl"], _Compare(0, _EQUAL, _PR_SET_DUMPABLE, 0))
            rules.load()
    except _NoMeansError as reason:
        return str(reason)
    return None


def seal() -> str | None:
    """From now on no file can be opened for writing, made or renamed; reading goes on.

    None once it holds, otherwise why it does not.
    """
    try:
        with _Filter() as rules:
            rules.deny(_NEW_FILES.split())
            rules.deny(["openat2"], error=errno.ENOSYS)  # its flags lie in memory: take openat
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_ACCMODE):
                rules.deny(["open"], _Compare(1, _MASKED_EQUAL, os.O_ACCMODE, flags))
                rules.deny(["openat"], _Compare(2, _MASKED_EQUAL, os.O_ACCMODE, flags))
            for flag in (os.O_CREAT, os.O_TRUNC):
                rules.deny(["open"], _Compare(1, _MASKED_EQUAL, flag, flag))
                rules.deny(["openat"], _Compare(2, _MASKED_EQUAL, flag, flag))
            rules.load()
    except _NoMeansError as reason:
        return str(reason)
    return None


class _Filter:
    """A set of denied system calls; all others are allowed. Raises _NoMeansError."""

    def __init__(self) -> None:
        self._library = _library()
        self._context = self._library.seccomp_init(_ALLOW)
        if not self._context:
            raise _NoMeansError("libseccomp cannot be set up")

    def __enter__(self) -> _Filter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._library.seccomp_release(self._context)

    def deny(
        self, names: Iterable[str], when: _Compare | None = None, error: int = errno.EPERM
    ) -> None:
        """Let these calls fail with `error`, all or those of which `when` holds."""
        for name in names:
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                raise _NoMeansError(f"libseccomp does not know the system call {name}: update it")
            if number >= 0:  # below: not on this processor
                self._check(
                    self._library.seccomp_rule_add_array(
                        self._context,
                        _ERRNO | error,
                        number,
                        0 if when is None else 1,
                        None if when is None else ctypes.byref(when),
                    )
                )

    def load(self) -> None:
        """Bind all threads of this process, for good. Sets no_new_privs."""
        self._check(self._library.seccomp_attr_set(self._context, _TSYNC, 1))
        self._check(self._library.seccomp_load(self._context))

    def _check(self, code: int) -> None:
        if code != 0:
            raise _NoMeansError(f"the kernel takes no seccomp filter ({os.strerror(abs(code))})")


def _library() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise _NoMeansError(f"{sys.platform} has no seccomp")
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise _NoMeansError("libseccomp.so.2 is not there: apt install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    for name in ("seccomp_release", "seccomp_load"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    return library


def _blank_a_socket(descriptor: int) -> None:
    """A service's stderr may be a socket to the journal; a picture would go out by it."""
    try:
        kind = os.fstat(descriptor).st_mode
    except OSError:  # the program has closed its own
        return
    if not stat.S_ISSOCK(kind):
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
