"""The sandbox's list of system calls as a program for this machine's kernel, compiled by its libseccomp."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from typing import Any

from runner.surface import seccomp_profile

_LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARISONS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_UNCOUNTED = {"shmget", "msgget", "mq_open"}
"""Calls that make memory which belongs to no process and no file system: without control groups nobody counts it."""


class NoFilter(Exception):
    """This machine cannot compile the filter; the message says why."""


class _Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def compiled_filter() -> bytes:
    """The filter as BPF instructions, as bubblewrap's --seccomp takes it. Raises NoFilter."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NoFilter(f"there is no {_LIBRARY}") from error
    profile = json.loads(seccomp_profile())
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | profile["defaultErrnoRet"])))
    if not context:
        raise NoFilter("libseccomp cannot begin a filter")
    try:
        for rule in profile["syscalls"]:
            _add(library, context, rule)
        with tempfile.TemporaryFile() as file:
            if library.seccomp_export_bpf(context, file.fileno()) != 0:
                raise NoFilter("libseccomp cannot compile the filter")
            return os.pread(file.fileno(), 1 << 20, 0)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: dict[str, Any]) -> None:
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
    arguments = [_argument(each) for each in rule["args"]]
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if name in _UNCOUNTED or number < 0:  # of another architecture, or newer than the library
            continue
        array = (_Argument * len(arguments))(*arguments)
        done = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(arguments), array)
        if done != 0:
            raise NoFilter(f"libseccomp does not take the rule about {name}: {os.strerror(-done)}")


def _argument(raw: dict[str, Any]) -> _Argument:
    first, second = raw["value"], raw["valueTwo"]
    return _Argument(raw["index"], _COMPARISONS[raw["op"]], first, second)
