"""The fenced file: what may be edited, how edits apply, and how the file is shown."""

from env.document.document import Document, Segment
from env.document.edit import OPERATIONS, Applied, Insert, Op, Replace, StrReplace, apply, operation
from env.document.listing import current_file, listing, ranges_text, view
from env.document.refused import EditRefused
from env.document.seen import Seen

__all__ = [
    "OPERATIONS",
    "Applied",
    "Document",
    "EditRefused",
    "Insert",
    "Op",
    "Replace",
    "Seen",
    "Segment",
    "StrReplace",
    "apply",
    "current_file",
    "listing",
    "operation",
    "ranges_text",
    "view",
]
