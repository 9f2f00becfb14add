"""What an operator writes about a cluster, and what jobs ask for and sandboxes are made with because of it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from env.cli.cluster_file import gpu_pool, read_cluster
from runner.folder.sandboxed import Mount
from runner.protocol import RunnerError
from runner.slurm.apptainer import apptainer_command
from runner.slurm.cluster import Cluster
from runner.slurm.enclosures import Site, _allocated
from runner.slurm.folder import Room
from runner.slurm.options import job_options
from runner.slurm.pyxis import pyxis_command

MINIMAL = 'folder = "/shared/ringfence"\nimage = "/shared/image"\n'
ROOM = Room(
    run_id="run",
    command=("bash", "train.sh"),
    env={"PATH": "/usr/bin", "SEED": "42"},
    mounts=(
        Mount(Path("/shared/run/work"), "/ringfence/work"),
        Mount(Path("/shared/run/out"), "/ringfence/out", writable=True),
    ),
    gpus=(0, 1),
    has_out=True,
    user=20001,
    timeout_s=3600.0,
    memory_mb=8192,
)


def read(tmp_path: Path, text: str) -> Cluster:
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    return read_cluster(file)


def test_a_folder_and_an_image_are_enough(tmp_path: Path) -> None:
    cluster = read(tmp_path, MINIMAL)
    assert (cluster.folder, cluster.sandbox, cluster.gpus) == (Path("/shared/ringfence"), "bubblewrap", 0)
    assert len(gpu_pool(replace(cluster, gpus=8)).devices) == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('image = "/i"\n', "folder: missing"),
        ('folder = "/f"\n', "image: missing"),
        (MINIMAL + 'partitions = "gpu"\n', "partitions: there is no such key. Keys: folder, sandbox, image, partition"),
        (MINIMAL + 'cpus = "many"\n', "cpus: input should be a valid integer"),
        (MINIMAL + "cpus = 0\n", "cpus: must be at least 1"),
        (MINIMAL + 'sandbox = "chroot"\n', "sandbox: input should be 'bubblewrap', 'apptainer' or 'pyxis'"),
        (MINIMAL + 'sandbox = "pyxis"\n', "sandbox: Pyxis shares the node's network"),
        (MINIMAL + "open_network = true\n", "open_network: bubblewrap has no need of it"),
        (MINIMAL + 'sandbox = "apptainer"\ngpus = 2\n', "gpus: apptainer shows all GPUs of a node"),
        (MINIMAL + 'extra = ["-p x"]\n', "extra: '-p x' is no long option of sbatch"),
        ('folder = "here"\nimage = "/i"\n', "folder: here is no absolute path"),
        ('folder = "/f"\nimage = "trainer"\n', "image: trainer is no absolute path"),
        ("folder = /f\n", "Invalid value"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RunnerError) as refusal:
        read(tmp_path, text)
    assert str(tmp_path / "cluster.toml") in str(refusal.value)
    assert told in str(refusal.value)


def test_no_file_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"--cluster FILE"):
        read_cluster(None)
    with pytest.raises(RunnerError, match=r"No such file"):
        read_cluster(tmp_path / "none.toml")


def test_every_key_is_explained_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    assert [field.name for field in fields(Cluster) if f"| `{field.name}` |" not in guide] == []


def test_what_a_job_asks_for() -> None:
    cluster = Cluster(
        folder=Path("/shared"),
        partition="gpu",
        account="lab",
        qos="high",
        constraint="h100",
        gres="gpu:h100",
        exclusive=True,
        extra=("--reservation=research",),
    )
    worker = replace(ROOM, run_id="run.audit", gpus=(1,), memory_mb=1000)
    assert job_options(cluster, "ringfence-ab12-run", [ROOM, worker], Path("/shared/runs/run/job.log")) == [
        *("--job-name=ringfence-ab12-run", "--nodes=1", "--ntasks=1", "--cpus-per-task=16", "--time=65"),
        *("--no-requeue", "--export=ALL", "--chdir=/", "--open-mode=append", "--output=/shared/runs/run/job.log"),
        *("--partition=gpu", "--account=lab", "--qos=high", "--constraint=h100", "--gres=gpu:h100:2", "--mem=9960M"),
        *("--exclusive", "--reservation=research"),
    ]
    without = replace(ROOM, gpus=())
    asked = job_options(Cluster(folder=Path("/shared"), memory=False), "job", [without], Path("/log"))
    assert "--cpus-per-task=2" in asked
    assert not [option for option in asked if option.startswith(("--gres", "--mem", "--partition"))]


def test_an_apptainer_sandbox_word_by_word() -> None:
    cluster = Cluster(folder=Path("/shared"), image="/shared/trainer.sif", sandbox="apptainer", binds={"/opt": "/opt"})
    assert apptainer_command(cluster, ROOM) == (
        *("apptainer", "exec", "--containall", "--no-home", "--net", "--network", "none", "--no-privs", "--nv"),
        *("--bind", "/opt:/opt:ro", "--bind", "/shared/run/work:/ringfence/work:ro"),
        *("--bind", "/shared/run/out:/ringfence/out:rw", "--pwd", "/ringfence/work", "/shared/trainer.sif"),
        *("env", "-i", "CUDA_VISIBLE_DEVICES=0,1", "PATH=/usr/bin", "SEED=42"),
        *("prlimit", "--nproc=512", "--", "bash", "train.sh"),
    )
    assert "--nv" not in apptainer_command(cluster, replace(ROOM, gpus=()))
    assert "CUDA_VISIBLE_DEVICES=" in apptainer_command(cluster, replace(ROOM, gpus=()))


def test_a_pyxis_sandbox_word_by_word() -> None:
    cluster = Cluster(folder=Path("/shared"), image="registry#trainer:1", sandbox="pyxis", open_network=True)
    assert pyxis_command(cluster, ROOM) == (
        *("srun", "--overlap", "--nodes=1", "--ntasks=1", "--kill-on-bad-exit=1", "--mem=8192M"),
        *("--container-image=registry#trainer:1", "--container-readonly", "--no-container-mount-home"),
        *("--no-container-remap-root", "--no-container-entrypoint"),
        "--container-mounts=/shared/run/work:/ringfence/work:ro,/shared/run/out:/ringfence/out",
        "--container-workdir=/ringfence/work",
        *("env", "-i", "CUDA_VISIBLE_DEVICES=0,1", "PATH=/usr/bin", "SEED=42"),
        *("prlimit", "--nproc=512", "--", "bash", "train.sh"),
    )
    assert "--gres=none" in pyxis_command(cluster, replace(ROOM, gpus=()))
    assert cluster.in_words() == "pyxis, open network"


def test_the_gpus_of_a_job_are_counted_as_its_node_does() -> None:
    assert _allocated({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}) == ("2", "3")
    assert _allocated({"CUDA_VISIBLE_DEVICES": "1"}) == ("1",)
    assert Site(Cluster(folder=Path("/shared")), Path("/tmp/x"), _allocated({})).gpus == ()
