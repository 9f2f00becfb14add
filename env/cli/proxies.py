"""What may be said about a reverse proxy before the service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network

from env.cli.errors import fail


def check_proxy(root_path: str, proxies: Sequence[str], has_keys: bool) -> None:
    """Ends the command, in words, where the options cannot be meant."""
    if root_path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", root_path):
        fail(f"--root-path {root_path!r} is no prefix: it begins with a slash and ends without one, as /ringfence.")
    for one in proxies:
        try:
            ip_network(one, strict=False)
        except ValueError:
            fail(f"--proxy {one!r} is no address or network of a proxy, as 127.0.0.1 or 10.0.0.0/8.")
    if proxies and not has_keys:
        fail("refusing to serve behind a proxy without operator keys: anyone whom it lets through could run code here.")
