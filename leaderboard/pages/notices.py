"""Pages without content of their own: a session that is not open to everyone yet, and what went wrong."""

from __future__ import annotations

from leaderboard.pages.render import render


def locked_page(session_id: str, refused: str | None) -> str:
    """Ask for a token; `refused` says why the token that was sent does not open it; None when none was sent."""
    return render("locked.html", session_id=session_id, refused=refused)


def error_page(status: int, message: str) -> str:
    """Say what went wrong, under a title that fits the HTTP status."""
    title = {404: "Not found", 422: "Not understood"}.get(status, "That did not work")
    return render("error.html", status=status, title=title, message=message)
