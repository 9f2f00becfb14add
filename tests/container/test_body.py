"""What the engine is asked for, without an engine: a sandbox must not become wider by a slip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.container.body import ContainerHost, container_body
from runner.container.sandbox import Sandbox
from runner.folder.sandboxed import Mount
from runner.gpus import device_nodes
from runner.protocol import RunnerError, RunSpec


def body(spec: RunSpec | None = None, nodes: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    sandbox = Sandbox(**settings)
    host = ContainerHost("sha256:1", "owner", 1.5, sandbox)
    mounts = [Mount(Path("/runs/r/work"), "/ringfence/work"), Mount(Path("/runs/r/out"), "/ringfence/out", True)]
    return container_body(host, spec or RunSpec("r", ("true",)), 1000, mounts, nodes, created_at=1000.5)


def environment(made: dict[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in made["Env"])


def test_the_sandbox_is_closed() -> None:
    made = body()
    assert made["User"] == "1000:1000"
    masked = made["HostConfig"].pop("MaskedPaths")
    assert {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"} < set(masked)  # the engine's own list
    assert {"/proc/sys/fs", "/proc/stat", "/proc/loadavg", "/proc/meminfo"} < set(masked)  # counters of the host
    security = made["HostConfig"].pop("SecurityOpt")
    assert security[0] == "no-new-privileges"
    profile = json.loads(security[1].removeprefix("seccomp="))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not {"io_uring_setup", "keyctl", "bpf", "unshare", "ptrace", "mincore"} & {
        name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
    }
    assert made["HostConfig"] == {
        "NetworkMode": "none",
        "IpcMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "Privileged": False,
        "Init": False,
        "Memory": 8192 << 20,
        "MemorySwap": 8192 << 20,
        "NanoCpus": 1_500_000_000,
        "PidsLimit": 512,
        "BlkioWeight": 50,
        "OomScoreAdj": 500,
        "ShmSize": 1 << 30,
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=2048m,mode=1777"},
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": 20480 << 20, "Hard": 20480 << 20},
        ],
        "Mounts": [
            {
                "Type": "bind",
                "Source": f"/runs/r/{name}",
                "Target": f"/ringfence/{name}",
                "ReadOnly": name != "out",
                "BindOptions": {"Propagation": "rprivate"},
            }
            for name in ("work", "out")
        ],
        "Devices": [],
        "DeviceRequests": [],
        "LogConfig": {"Type": "local", "Config": {"max-size": "256m", "max-file": "2", "compress": "false"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def test_the_labels_say_whose_it_is_and_when_it_is_due() -> None:
    labels = body(RunSpec("r", ("true",), timeout_s=60, device_ids=("1", "3")))["Labels"]
    digest = labels.pop("ringfence.spec")
    assert len(digest) == 64
    assert digest != body(RunSpec("r", ("false",)))["Labels"]["ringfence.spec"]
    assert labels == {
        "ringfence.run": "r",
        "ringfence.owner": "owner",
        "ringfence.deadline": "1061",
        "ringfence.devices": "1,3",
    }


def test_what_the_host_binds_is_read_only() -> None:
    assert all(mount["ReadOnly"] for mount in body(binds={"/opt": "/opt"})["HostConfig"]["Mounts"][:2])


def test_a_run_cannot_move_its_own_folders() -> None:
    seen = environment(body(RunSpec("r", ("true",), env={"OUT_DIR": "/", "HOME": "/root"})))
    assert (seen["OUT_DIR"], seen["HOME"]) == ("/ringfence/out", "/tmp")


def test_a_run_without_gpus_is_given_none_even_by_an_image_that_asks_for_all() -> None:
    assert environment(body())["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_libraries_start_as_many_threads_as_there_are_processors() -> None:
    assert environment(body())["OMP_NUM_THREADS"] == "1"
    assert environment(body(environment={"OMP_NUM_THREADS": "5"}))["OMP_NUM_THREADS"] == "5"
    spec = RunSpec("r", ("true",), env={"OMP_NUM_THREADS": "3"})
    assert environment(body(spec, environment={"OMP_NUM_THREADS": "5"}))["OMP_NUM_THREADS"] == "3"


def test_runs_and_workers_alone_are_told_where_they_meet() -> None:
    worker = RunSpec("r.audit", ("true",), device_ids=("2",))
    run = RunSpec("r", ("true",), device_ids=("1",), workers=(worker,))
    assert environment(body(run))["MEET_DIR"] == environment(body(worker))["MEET_DIR"] == "/ringfence/meet"
    assert "MEET_DIR" not in environment(body())


def test_the_gpus_of_a_worker_are_not_its_runs() -> None:
    worker = RunSpec("r.audit", ("true",), device_ids=("2",))
    for spec, own in ((RunSpec("r", ("true",), device_ids=("1",), workers=(worker,)), "1"), (worker, "2")):
        made = body(spec)
        assert [request["DeviceIDs"] for request in made["HostConfig"]["DeviceRequests"]] == [[own]]
        assert made["Labels"]["ringfence.devices"] == own


def test_gpus_are_asked_of_the_toolkit_by_id() -> None:
    made = body(RunSpec("r", ("true",), device_ids=("1", "3")))
    request = {"Driver": "nvidia", "DeviceIDs": ["1", "3"], "Capabilities": [["gpu"]]}
    assert made["HostConfig"]["DeviceRequests"] == [request]
    assert made["HostConfig"]["ShmSize"] == 8 << 30
    assert ",exec," in made["HostConfig"]["Tmpfs"]["/tmp"]
    assert "NVIDIA_VISIBLE_DEVICES" not in environment(made)


def test_gpus_are_passed_as_nodes() -> None:
    made = body(RunSpec("r", ("true",), device_ids=("1",)), nodes=("/dev/nvidiactl", "/dev/nvidia1"))
    passed = [device["PathOnHost"] for device in made["HostConfig"]["Devices"]]
    assert passed == ["/dev/nvidiactl", "/dev/nvidia1"]
    assert made["HostConfig"]["DeviceRequests"] == []


def test_a_gpu_is_found_by_index_or_uuid_and_its_node_by_the_driver(tmp_path: Path) -> None:
    # On this host the first card by address has the second node.
    for address, uuid, minor in (("0000:03:00.0", "GPU-aa", 1), ("0000:0a:00.0", "GPU-bb", 0)):
        (tmp_path / address).mkdir()
        about = f"Model: \t\t NVIDIA H200\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
        (tmp_path / address / "information").write_text(about)
    shared = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
    assert device_nodes(["0"], tmp_path) == [*shared, "/dev/nvidia1"]
    assert device_nodes(["GPU-bb", "GPU-aa"], tmp_path) == [*shared, "/dev/nvidia0", "/dev/nvidia1"]
    with pytest.raises(RunnerError, match=r"no GPU 7; it has 0, GPU-aa, 1, GPU-bb"):
        device_nodes(["7"], tmp_path)
