"""What all bodies of answers have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Lines = Annotated[tuple[int, ...], Field(min_length=2, max_length=2, description="First and last line, 1-based.")]
ClassOfRunner = Annotated[
    str,
    Field(
        json_schema_extra={"enum": ["sandboxed", "local", "unknown", "fake"]},
        description="Whether the agent's code ran in a sandbox, as ordinary processes, nobody recorded how, or not at "
        "all: numbers of the fake runner are invented.",
    ),
]
Score = Annotated[
    float | None,
    Field(
        description="Against the task's anchors: 0 the worst baseline, 0.5 the best one, 1 the bound. Null where the "
        "task version has none at this scale, or the result lacks a metric."
    ),
]
DeltaNoise = Annotated[
    float | None,
    Field(
        description="How much better than the best baseline, by the metric that results are ranked by and in standard "
        "deviations over seeds; negative when worse. Null where no seeds repeat."
    ),
]


class Body(BaseModel):
    """The body of an answer, as a value: the service makes it, and the client gives it to its user."""

    model_config = ConfigDict(frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """The answer's JSON object. It holds the fields that were given when the value was made, and no defaults."""
        return self.model_dump(exclude_unset=True)
