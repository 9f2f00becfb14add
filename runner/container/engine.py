"""The container engine, in the few words this package needs. The only module that knows the SDK."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Self

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
        """`url` as in DOCKER_HOST, which is the default; without it that of the context which `docker` would use."""
        with _as_engine_error("cannot reach the container engine"):
            settings = docker.utils.kwargs_from_env()
            if url is not None:
                settings["base_url"] = url
            elif "base_url" not in settings:
                settings = {**_of_context(), **settings}
            self._api = docker.APIClient(
                **settings, version="auto", timeout=_TIMEOUT_S, max_pool_size=_CONNECTIONS, num_pools=4
            )

    def close(self) -> None:
        self._api.close()

    def version(self) -> str:
        with _as_engine_error("cannot reach the container engine"):
            about: dict[str, Any] = self._api.version()
        return str(about["Version"])

    def about(self) -> dict[str, Any]:
        """SystemInfo of the Engine API: what the engine stands on."""
        with _as_engine_error("cannot reach the container engine"):
            about: dict[str, Any] = self._api.info()
        return about

    def image_id(self, image: str) -> str:
        """`sha256:…` of a name and tag: names can move, this cannot."""
        try:
            with _as_engine_error(f"cannot find image {image}"):
                return str(self._api.inspect_image(image)["Id"])
        except _Missing:
            raise EngineError(
                f"the container engine has no image {image}: build it first (see the Dockerfile)"
            ) from None

    def create(self, name: str, body: dict[str, Any]) -> list[str]:
        """`body` as in the Engine API's ContainerCreate. Returns the engine's warnings: what it leaves out of that."""
        with _as_engine_error(f"cannot create container {name}"):
            return list(self._api.create_container_from_config(body, name).get("Warnings") or [])

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

    def cpu_seconds(self, name: str) -> float | None:
        """Processor seconds of all its processes so far; None if it does not run."""
        try:
            with _as_engine_error(f"cannot measure container {name}"):
                used = self._api.stats(name, stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]
        except _Missing:
            return None
        return int(used) / 1e9 or None

    def kill(self, name: str) -> None:
        """SIGKILL to every process in it, frozen or not. Nothing happens if it is over."""
        with contextlib.suppress(_Missing, _Conflict), _as_engine_error(f"cannot kill container {name}"):
            self._api.kill(name)
        self.unpause(name)  # what is frozen does not die

    def pause(self, name: str) -> None:
        """Freeze every process in it. Nothing happens if it is frozen or over."""
        try:
            with _as_engine_error(f"cannot freeze container {name}"):
                self._api.pause(name)
        except EngineRefusal:
            state = self.state(name)
            if state is not None and state["Running"] and not state["Paused"]:
                raise

    def unpause(self, name: str) -> None:
        """Let it go on. Nothing happens if it is not frozen."""
        try:
            with _as_engine_error(f"cannot thaw container {name}"):
                self._api.unpause(name)
        except EngineRefusal:
            state = self.state(name)
            if state is not None and state["Paused"]:
                raise

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

    def was_killed(self, name: str, since: float) -> bool:
        """Whether it was sent a signal through the engine after `since`, in Unix seconds: by whomever, or by the engine
        itself as it leaves. A signal from within does not count. The engine remembers only its latest events.
        """
        until = int(time.time()) + 1  # in whole seconds; the engine waits for that moment
        with _as_engine_error("cannot read the engine's events"):
            wanted = {"container": name, "event": "kill"}
            events = self._api.events(since=int(since), until=until, filters=wanted, decode=True)
            with contextlib.closing(events):
                # To the engine's filter a name also stands for all longer ones that begin with it.
                if any(event["Actor"]["Attributes"]["name"] == name for event in events):
                    return True
        if time.time() < until - 0.1:
            raise EngineError("the engine left in the middle of an answer")  # to the SDK that is just an end
        return False

    def log(self, name: str, stream: str, follow: bool) -> LogStream:
        """What it printed to `stdout` or `stderr`, from the beginning; with `follow` until it ends, or the engine does.

        Nothing if there is no such container.
        """
        try:
            with _as_engine_error(f"cannot read the output of container {name}"):
                wanted = {"stdout": stream == "stdout", "stderr": stream == "stderr"}
                return LogStream(self._api.logs(name, stream=True, follow=follow, **wanted))
        except _Missing:
            return LogStream(None)


class LogStream:
    """Chunks of output, a line or part of one each. A context manager; `stop` may be called from another thread."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._chunks is not None:
            self._chunks._response.close()  # the SDK itself only shuts the socket down

    def __iter__(self) -> Iterator[bytes]:
        with _as_engine_error("cannot read the output of a container"):
            yield from self._chunks or ()

    def stop(self) -> None:
        """Let whoever reads it come to the end."""
        with contextlib.suppress(OSError):  # it was at its end
            if self._chunks is not None:
                self._chunks.close()


class _Missing(EngineRefusal):
    pass


class _Conflict(EngineRefusal):
    """It is not in a state in which that can be done."""


def _of_context() -> dict[str, Any]:
    """Settings for the engine that the `docker` command would ask. Raises EngineError."""
    name = os.environ.get("DOCKER_CONTEXT") or docker.context.config.get_current_context_name()
    context = docker.ContextAPI.get_context(name)
    if context is None:
        raise EngineError(f"there is no docker context {name}: see `docker context ls`, or set DOCKER_HOST")
    settings: dict[str, Any] = docker.ContextAPI.kwargs_from_context(name)
    address = str(settings.get("base_url", "unix:"))
    if not address.startswith(("unix:", "http+unix:")):
        raise EngineError(
            f"the docker context {name} is an engine elsewhere ({address}), which sees no folder of this host: choose "
            "one with a Unix socket, or set DOCKER_HOST"
        )
    return settings


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
