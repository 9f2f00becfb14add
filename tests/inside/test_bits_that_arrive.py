"""What of a checkpoint reaches the model, and what it is charged for."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save_file
from safetensors.torch import save_file as save_torch

from runner.inside.charges import BYTES, NUMBERS
from runner.inside.faults import CheckpointFault
from runner.inside.judge.checkpoint import MAX_TENSORS, open_checkpoint
from runner.inside.judge.reduction import reduced


@pytest.fixture
def arrived(tmp_path):
    """Tensors as a model is given them."""

    def arrive(tensors, metadata=None):
        save_file(tensors, tmp_path / "model.safetensors", metadata)
        return load(reduced(open_checkpoint(tmp_path / "model.safetensors")).tobytes())

    return arrive


def raw(path, header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    if size is not None:
        os.truncate(path, size)
    return path


def test_everything_is_charged(tmp_path):
    tensors = {
        "wide": torch.zeros(5, dtype=torch.float64),
        "half": torch.zeros(3, dtype=torch.float16),
        "count": torch.zeros(7, dtype=torch.int64),
        "flags": torch.zeros(2, 2, dtype=torch.bool),
        "a-name-that-says-a-lot": torch.zeros(0),
    }
    save_torch(tensors, tmp_path / "m")
    names = sum(len(name) for name in tensors) + 8 * 6
    assert open_checkpoint(tmp_path / "m").parameters == 2 * 5 + 3 + 8 * 7 + 4 + names


@pytest.mark.parametrize("dtype", sorted(BYTES))
def test_no_type_stores_a_number_that_is_not_charged(dtype):
    floating = dtype in ("F64", "F32", "F16", "BF16", "C64")
    assert NUMBERS[dtype] >= (BYTES[dtype] / 4 if floating else BYTES[dtype])


def test_several_narrow_weights_in_a_wide_one_do_not_arrive(arrived):
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 256, size=(2, 512, 512))
    # Two bytes as the significand of one number, as a loader of the agent's would unpack it.
    packed = (1 + (high * 256 + low) / 65536).astype(np.float32)
    got = arrived({"w": packed})["w"]
    unpacked = np.rint((got.astype(np.float64) - 1) * 65536).astype(int)
    assert np.mean(unpacked % 256 == low) < 1.2 / 256
    assert abs(np.corrcoef((unpacked % 256).ravel(), low.ravel())[0, 1]) < 0.02  # ten standard deviations of chance
    assert np.mean(np.abs(unpacked // 256 - high)) < 10  # a weight as such is there


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_with_few_factors_do_not_survive_either(arrived, dtype):
    """In double precision a product with a number of 24 bits would be exact, and could be taken apart again."""
    rng = np.random.default_rng(1)
    integers = rng.integers(1 << 23, 1 << 24, size=(256, 256)) | 1
    got = arrived({"w": integers.astype(dtype)})["w"]
    assert (got.astype(np.float64) == got.astype(np.float32)).all()
    assert np.mean(np.rint(got.astype(np.float64)) == integers) < 1e-3


def test_exponents_are_no_second_number(arrived):
    rng = np.random.default_rng(2)
    exponents = rng.integers(-60, 60, size=(512, 512))
    got = arrived({"w": np.ldexp(1.0, exponents).astype(np.float32)})["w"]
    assert len(np.unique(np.frexp(got[got != 0])[1])) <= 11


@pytest.mark.parametrize("width", [64, 1024])
def test_an_identity_arrives_whole(arrived, width):
    learnt = 0.001 * np.random.default_rng(4).standard_normal((width, 4 * width))
    got = arrived({"w": (np.eye(width, 4 * width) + learnt).astype(np.float32)})["w"]
    assert np.diagonal(got).mean() == pytest.approx(1, abs=0.01)


def test_vectors_lose_as_much_as_matrices_where_they_are_more_than_a_few(arrived):
    rng = np.random.default_rng(3)
    values = (1 + rng.random(200_000)).astype(np.float32)
    few = {"v": values[:1000], "w": rng.standard_normal((300, 300)).astype(np.float32)}
    lost = {name: np.std(arrived(each)["v"] / each["v"]) for name, each in {"few": few, "all": {"v": values}}.items()}
    assert lost["few"] == pytest.approx(2**-8, rel=0.1)
    assert lost["all"] == pytest.approx(2**-6, rel=0.1)


def test_what_is_not_a_number_says_nothing_else(arrived):
    odd = np.array([0x7FC12345, 0xFFC00001, 0x7F800000, 0xFF800000, 0x80000000, 0x3F800000], dtype=np.uint32)
    got = arrived({"w": np.tile(odd.view(np.float32), (6, 1))})["w"][0]
    assert got.view(np.uint32)[:5].tolist() == [0x7FC00000, 0x7FC00000, 0x7F800000, 0xFF800000, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_weight_changes_by_a_little_and_is_the_same_for_all(dtype, tmp_path):
    weights = torch.randn(300, 300).to(dtype)
    save_torch({"w": weights, "n": torch.arange(9), "z": torch.randn(64, 8, dtype=torch.complex64)}, tmp_path / "m")
    from safetensors.torch import load as load_torch

    checkpoint = open_checkpoint(tmp_path / "m")
    first, second = (load_torch(reduced(checkpoint).tobytes()) for _ in range(2))
    assert first["w"].dtype is dtype
    kept = first["w"] != 0
    ratio = (first["w"].double() / weights.double())[kept]
    assert 2**-6.3 < float(ratio.std()) < 2**-5.7
    assert float(kept.double().mean()) > 0.97
    assert not torch.equal(first["w"], second["w"])
    assert first["n"].tolist() == list(range(9))


def test_names_are_sorted_and_metadata_stays_behind(arrived, tmp_path):
    arrived({"b": np.zeros(2, np.float32), "a": np.zeros(2, np.float32)}, {"secret": "x" * 1000})
    out = reduced(open_checkpoint(tmp_path / "model.safetensors")).tobytes()
    header = json.loads(out[8 : 8 + int.from_bytes(out[:8], "little")])
    assert list(header) == ["a", "b"]


def empty(count):
    return {f"{number:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}


HUGE = 19 << 30


@pytest.mark.parametrize(
    ("header", "size", "said"),
    [
        (lambda: empty(1_000_000), None, "a header of "),
        (lambda: empty(MAX_TENSORS + 1), None, "10,001 tensors, at most 10,000 are allowed"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, HUGE, "do not fill it"),
        (b"[" * 100_000, None, "not a safetensors file"),
        (b'{"w": 3}', None, "not a safetensors file"),
        ({"w": {"dtype": "F32", "shape": [1 << 50, 0], "data_offsets": [0, 0]}}, None, "an impossible shape"),
        ({"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, None, "a type that is none of"),
        ({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, None, "an impossible shape"),
        ({"\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, None, "not a safetensors file"),
        (
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            None,
            "do not lie side by side",
        ),
    ],
)
def test_a_file_that_cannot_be_a_checkpoint_is_refused_unread(header, size, said, tmp_path):
    path = raw(tmp_path / "m", header() if callable(header) else header, size=size)
    began = time.process_time()
    with pytest.raises(CheckpointFault, match=said):
        open_checkpoint(path)
    assert time.process_time() - began < 1


def test_a_file_far_above_the_cap_is_counted_unread(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}}).encode()
    path = raw(tmp_path / "m", header, size=8 + len(header) + HUGE)
    began = time.process_time()
    assert open_checkpoint(path).parameters == HUGE // 4 + 9
    assert time.process_time() - began < 0.5
