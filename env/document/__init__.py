"""The fenced file: what may be edited, how edits apply, and how the file is shown."""

from env.document.document import Document, Segment
from env.document.edit import Applied, Insert, Op, Replace, StrReplace, apply
from env.document.listing import current_file, listing, ranges_text, view
from env.document.refused import EditRefused

__all__ = [
    "Applied",
    "Document",
    "EditRefused",
    "Insert",
    "Op",
    "Replace",
    "Segment",
    "StrReplace",
    "apply",
    "current_file",
    "listing",
    "ranges_text",
    "view",
]
