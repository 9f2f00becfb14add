"""A hook of the wheel's build: what lies in `env/client` comes to its top level. The builder's mapping cannot say so,
because that of `env` would apply first. An editable install finds both where they are.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ClientAtTheTop(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["env/client/ringfence"] = "ringfence"
