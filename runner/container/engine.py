"""The container engine, in the few words this package needs. The only module that knows the SDK."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Generator, Iterator
from http import HTTPStatus
from typing import Any

import docker
import urllib3

from runner.protocol import RunnerError

_TIMEOUT_S = 30
_CONNECTIONS = 64  # two streams for each run that is followed


class EngineError(RunnerError):
    """The engine does not answer, or not well."""


class EngineRefusal(EngineError):
    """The engine answered that it will not."""


class Engine:
    """A connection to one engine. Safe to use from several threads. Every method raises EngineError."""

    def __init__(self, url: str | None = None) -> None:
        """`url` as in DOCKER_HOST, which is the default."""
        with _as_engine_error("cannot reach the container engine"):
            settings = docker.utils.kwargs_from_env()
            if url is not None:
                settings["base_url"] = url
            self._api = docker.APIClient(
                **settings, version="auto", timeout=_TIMEOUT_S, max_pool_size=_CONNECTIONS, num_pools=4
            )

    def close(self) -> None:
        self._api.close()

    def version(self) -> str:
        with _as_engine_error("cannot reach the container engine"):
            about: dict[str, Any] = self._api.version()
        return str(about["Version"])

    def image_id(self, image: str) -> str:
        """`sha256:…` of a name and tag: names can move, this cannot."""
        try:
            with _as_engine_error(f"cannot find image {image}"):
                return str(self._api.inspect_image(image)["Id"])
        except _Missing:
            raise EngineError(
                f"the container engine has no image {image}: build it first (see the Dockerfile)"
            ) from None

    def create(self, name: str, body: dict[str, Any]) -> None:
        """`body` as in the Engine API's ContainerCreate."""
        with _as_engine_error(f"cannot create container {name}"):
            self._api.create_container_from_config(body, name)

    def start(self, name: str) -> None:
        with _as_engine_error(f"cannot start container {name}"):
            self._api.start(name)

    def state(self, name: str) -> dict[str, Any] | None:
        """The `State` of ContainerInspect; None if there is no such container."""
        try:
            with _as_engine_error(f"cannot inspect container {name}"):
                state: dict[str, Any] = self._api.inspect_container(name)["State"]
        except _Missing:
            return None
        return state

    def kill(self, name: str) -> None:
        """SIGKILL to every process in it. Nothing happens if it is over."""
        with contextlib.suppress(_Missing, _Conflict), _as_engine_error(f"cannot kill container {name}"):
            self._api.kill(name)

    def wait(self, name: str) -> None:
        with _as_engine_error(f"cannot wait for container {name}"):
            self._api.wait(name)

    def remove(self, name: str) -> None:
        """Kill it if it runs. Nothing happens if there is no such container."""
        with contextlib.suppress(_Missing), _as_engine_error(f"cannot remove container {name}"):
            self._api.remove_container(name, force=True, v=True)

    def labels(self, label: str, value: str) -> list[dict[str, str]]:
        """All labels of each container, running or not, that has `label=value`."""
        with _as_engine_error("cannot list containers"):
            found = self._api.containers(all=True, filters={"label": f"{label}={value}"})
        return [dict(one["Labels"]) for one in found]

    def log(self, name: str, stream: str, follow: bool) -> Generator[bytes, None, None]:
        """What it printed to `stdout` or `stderr`, from the beginning; with `follow` until it ends, or the engine does.

        Nothing if there is no such container.
        """
        with contextlib.suppress(_Missing), _as_engine_error(f"cannot read the output of container {name}"):
            chunks = self._api.logs(
                name, stdout=stream == "stdout", stderr=stream == "stderr", stream=True, follow=follow
            )
            try:
                yield from chunks
            finally:
                chunks.close()
                chunks._response.close()  # the SDK itself only shuts the socket down


class _Missing(EngineRefusal):
    pass


class _Conflict(EngineRefusal):
    """It is not in a state in which that can be done."""


@contextlib.contextmanager
def _as_engine_error(what: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        kinds = {HTTPStatus.NOT_FOUND: _Missing, HTTPStatus.CONFLICT: _Conflict}
        kind = kinds.get(error.response.status_code, EngineRefusal)
        raise kind(f"{what}: {error.explanation or error}") from error
    # OSError covers requests' exceptions; a stream cut short shows in struct or urllib3.
    except (docker.errors.DockerException, OSError, urllib3.exceptions.HTTPError, struct.error) as error:
        raise EngineError(f"{what}: {error}") from error
