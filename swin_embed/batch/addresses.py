"""Checks a cluster's address quickly; Ray would try a wrong one for minutes."""

import os
import re
import socket

from swin_embed.batch.errors import ClusterError, reason

TIMEOUT_S = 5.0

HOST_AND_PORT = re.compile(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})")


def check(address: str | None) -> None:
    """Check that something listens at a cluster's address, where it is a host and a port.

    Args:
        address: as Ray takes it; None is what `RAY_ADDRESS` says.

    Raises:
        ClusterError: nobody does.
    """
    given = address or os.environ.get("RAY_ADDRESS", "")
    named = HOST_AND_PORT.fullmatch(given)
    if named is None:
        return  # auto, local, or none: Ray looks on this machine, and says so at once
    try:
        socket.create_connection((named[1], int(named[2])), TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {given}: {reason(error)}") from error
