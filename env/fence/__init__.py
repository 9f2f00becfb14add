"""The fence lint: mistakes and cheap tricks in a script, found before a test is spent. Not the trust boundary."""

from env.fence.lint import check_source, original_is_lintable
from env.fence.violation import FenceViolation

__all__ = ["FenceViolation", "check_source", "original_is_lintable"]
