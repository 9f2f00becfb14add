"""The built-in texts by name: training scripts, stage scripts and scales."""

from __future__ import annotations

from pathlib import Path

from templates.diff import apply_diff

BASE = "custom_pretrain"

_FOLDER = Path(__file__).parent


class UnknownTemplateError(LookupError):
    """No built-in training script has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no built-in template {name!r}; there are {', '.join(known)}")
        self.name = name
        self.known = known


def names() -> list[str]:
    """The training scripts that `render` knows: the base first, then its variants in alphabetical order."""
    return [BASE, *sorted(path.stem for path in (_FOLDER / "variants").glob("*.diff"))]


def render(name: str) -> str:
    """A training script's text, ending in a newline. Raises UnknownTemplateError."""
    if name not in names():
        raise UnknownTemplateError(name, names())
    base = (_FOLDER / f"{BASE}.py").read_text(encoding="utf-8")
    if name == BASE:
        return base
    return apply_diff(base, (_FOLDER / "variants" / f"{name}.diff").read_text(encoding="utf-8"))


def script(name: str) -> str | None:
    """The built-in stage script a task calls `scripts/<file>.sh`, or None."""
    return _text(name) if name in _names_in("scripts", "*.sh") else None


def scale(name: str) -> str | None:
    """The TOML text of a built-in scale, or None."""
    path = f"scales/{name}.toml"
    return _text(path) if path in _names_in("scales", "*.toml") else None


def _text(path: str) -> str:
    return (_FOLDER / path).read_text(encoding="utf-8")


def _names_in(folder: str, pattern: str) -> list[str]:
    # Asking for what is there, instead of joining what was asked for, keeps `../` out.
    return [f"{folder}/{path.name}" for path in (_FOLDER / folder).glob(pattern)]
