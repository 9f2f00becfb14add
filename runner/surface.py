"""What of the host's kernel a sandbox can reach: system calls, kinds of sockets, files under /proc and /sys.

Two sandboxes of one host share a kernel, and whatever one can change and the other read is a channel. A list like this
closes the wide ones and the known ones. No number rests on it: that a claim is real is for the judge's exam to show.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_MASKED = (
    # What engines mask by themselves: a list of one's own takes its place.
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/scsi", "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
    # Counters and states of the whole host, by which one sandbox can tell another what it should not know.
    *("/proc/buddyinfo", "/proc/cgroups", "/proc/consoles", "/proc/crypto", "/proc/diskstats", "/proc/dma"),
    *("/proc/fs", "/proc/iomem", "/proc/ioports", "/proc/irq", "/proc/key-users", "/proc/loadavg", "/proc/locks"),
    *("/proc/mdstat", "/proc/meminfo", "/proc/modules", "/proc/mtrr", "/proc/pagetypeinfo", "/proc/partitions"),
    *("/proc/pressure", "/proc/schedstat", "/proc/slabinfo", "/proc/softirqs", "/proc/stat", "/proc/swaps"),
    *("/proc/sys/fs", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pty", "/proc/sys/kernel/random/entropy_avail"),
    *("/proc/sysrq-trigger", "/proc/uptime", "/proc/vmallocinfo", "/proc/vmstat", "/proc/zoneinfo"),
    *("/sys/block", "/sys/class/bdi", "/sys/class/block", "/sys/class/hwmon", "/sys/class/thermal", "/sys/dev/block"),
    *("/sys/devices/system/clocksource", "/sys/devices/system/cpu/cpufreq", "/sys/devices/system/cpu/cpuidle"),
    *("/sys/devices/system/edac", "/sys/devices/system/machinecheck", "/sys/devices/system/node"),
    *("/sys/devices/virtual/bdi", "/sys/devices/virtual/block", "/sys/devices/virtual/thermal"),
    *("/sys/fs/bpf", "/sys/fs/ext4", "/sys/fs/xfs", "/sys/fs/btrfs", "/sys/fs/fuse", "/sys/fs/selinux"),
    *("/sys/hypervisor", "/sys/kernel", "/sys/power"),
)
"""Names below which a sandbox finds nothing. NCCL needs /sys/class/net, /sys/bus/pci and the cards'
own folders, torch /sys/devices/system/cpu: those stay."""

_MASKED_OF_CPU = ("cpuidle", "thermal_throttle")


def masked_paths(cpus: int) -> list[str]:
    """What a sandbox on a host with so many processors does not see: files read as empty, folders as empty ones."""
    of_cpus = [f"/sys/devices/system/cpu/cpu{cpu}/{name}" for cpu in range(cpus) for name in _MASKED_OF_CPU]
    return [*_MASKED, *of_cpus, *_disks(), *_module_parameters()]


def _disks() -> list[str]:
    """The folders in which this host's disks count what is read and written, each below the bus it hangs on."""
    try:
        return sorted({str(disk.resolve().parent) for disk in Path("/sys/block").iterdir()})
    except OSError:
        return []


def _module_parameters() -> list[str]:
    """The folders in which this host's kernel modules tell their settings, and some of them what they count. Those of
    the GPUs' drivers stay.
    """
    found = Path("/sys/module").glob("*/parameters")
    return sorted(str(folder) for folder in found if not folder.parent.name.startswith("nv"))


_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_ROUTE = 0
"""The netlink protocol by which libraries list network interfaces. The others tell of devices and of the host."""
_NAMESPACES = 0x7E020000
"""The flags of clone that make a new namespace (CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET)."""
_ADVICE = (0, 1, 2, 3, 4, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
"""What madvise may be told. Left out is what moves pages of files, which others share, out of memory (REMOVE, COLD,
PAGEOUT), and what hardly anybody needs. Into memory a read moves them as well."""
_DESCRIPTORS = (0, 1, 2, 3, 4, 8, 9, 10, 11, 1030, 1031, 1032, 1033, 1034)
"""What fcntl may be told: to copy a descriptor, its flags, who gets its signals, a pipe's size, seals. Not leases, nor
locks of a file's parts: they hold while their process is frozen, and every sandbox that has the file can read them."""
_LOCKS = (5, 6, 7, 36, 37, 38)
_OF_FILES = ord("f") << 8
"""The kind of ioctl, in its second byte, that file systems have for what they know of a file: every sandbox that has
the file could set some of it, and read it."""
_NO_LOCKS = 37  # ENOLCK, as on a file system that has none
_NO_SUCH_CALL = 38  # ENOSYS: the C library falls back to clone, whose flags can be looked at

# Everything that a program has which computes, reads and writes files, and talks to processes beside it. Left out is
# what administers a host, looks into other processes, or reaches parts of the kernel that are shared and hardly ever
# needed: keys, BPF, performance counters, io_uring, handles of files, namespaces, memory policies, what tells which
# pages of a file are in memory or changes that, flushing what others wrote, and watching files (inotify, fanotify): a
# queue of events fills even while its process is frozen.
_CALLS = """
access alarm arch_prctl brk capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep close
close_range copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fdatasync fgetxattr flistxattr flock fork
fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid getxattr ioprio_get
ioprio_set kill lchown lgetxattr link linkat listen accept accept4 bind connect
listxattr llistxattr lremovexattr lseek lsetxattr lstat membarrier memfd_create mkdir mkdirat mknod mknodat
mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap
msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv prlimit64
process_mrelease pselect6 pwrite64 pwritev pwritev2 read readlink readlinkat readv recvfrom recvmmsg recvmsg
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid
setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink
symlinkat sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes
vfork vmsplice wait4 waitid write writev
""".split()  # noqa: SIM905 - three hundred quotes hide the names


@cache
def seccomp_profile() -> str:
    """The system calls that a sandbox may make, as the engine takes it (JSON). Any other fails with EPERM."""
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            # No 32-bit calls: the rules on arguments below are about 64-bit ones.
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [
                _allow(_CALLS),
                *(_allow(["socket"], _equal(0, family)) for family in (_UNIX, _INET, _INET6)),
                _allow(["socket"], _equal(0, _NETLINK), _equal(2, _ROUTE)),
                _allow(["clone"], {"index": 0, "value": _NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}),
                *(_allow(["madvise"], _equal(2, advice)) for advice in _ADVICE),
                *(_allow(["fcntl"], _equal(1, command)) for command in _DESCRIPTORS),
                *(_refuse("fcntl", _NO_LOCKS, _equal(1, command)) for command in _LOCKS),
                *(_allow(["ioctl"], _other_bit(1, bit, _OF_FILES)) for bit in range(8, 16)),
                _allow(["preadv2"], _equal(5, 0)),  # without flags: NOWAIT tells which pages are in memory
                _refuse("clone3", _NO_SUCH_CALL),
                *(_allow(["personality"], _equal(0, persona)) for persona in (0x0, 0x0008, 0xFFFFFFFF)),
            ],
        }
    )


def _allow(names: list[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _refuse(name: str, error: int, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": error, "args": list(arguments)}


def _other_bit(index: int, bit: int, value: int) -> dict[str, Any]:
    """The argument differs from `value` in this bit: together for several bits, in any of them."""
    return {"index": index, "value": 1 << bit, "valueTwo": ~value & 1 << bit, "op": "SCMP_CMP_MASKED_EQ"}


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
