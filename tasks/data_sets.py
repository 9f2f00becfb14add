"""The web text that scales of GPT-2 tokens read, and how one data set takes another's place."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from tasks.model import Scale, Task


class TextData(StrEnum):
    """The data sets of web text, each by the name of its folder in the data folder."""

    FINEWEB10B = "fineweb10b"
    CLIMBMIX = "climbmix"


TITLES = {TextData.FINEWEB10B: "FineWeb 10B", TextData.CLIMBMIX: "ClimbMix"}
"""What the summaries of scales call them."""


def data_set_of(scale: Scale) -> TextData | None:
    """Which of them a scale is evaluated on; None for any other data."""
    name = scale.evaluation_data.get("EVAL_DATA_DIR", "").partition("/")[0]
    return TextData(name) if name in set(TextData) else None


def scale_reading(scale: Scale, wanted: TextData) -> Scale:
    """The scale with `wanted` in the place of the web text that it reads; others as they are."""
    found = data_set_of(scale)
    if found is None or found is wanted:
        return scale
    folders = {name: _moved(folder, found, wanted) for name, folder in scale.data.items()}
    heldout = {name: _moved(folder, found, wanted) for name, folder in scale.evaluation_data.items()}
    summary = scale.summary.replace(TITLES[found], TITLES[wanted])
    return replace(scale, data=folders, evaluation_data=heldout, summary=summary)


def task_reading(task: Task, wanted: TextData) -> Task:
    """The task with `wanted` as its web text. It is another version: numbers of different data share no board."""
    return replace(task, scales={name: scale_reading(scale, wanted) for name, scale in task.scales.items()})


def _moved(folder: str, found: TextData, wanted: TextData) -> str:
    first, slash, rest = folder.partition("/")
    return f"{wanted}{slash}{rest}" if first == found else folder
