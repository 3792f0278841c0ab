"""Tries the addresses of a manager, one by one, and says how each one fails."""

from __future__ import annotations

import socket

from adaptive_scheduler.core.doctor.observations import UrlTried
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.transport.addresses import split_url

#: Seconds until a first packet without an answer counts as lost; it is sent again after 1 and 3.
SILENCE = 5.0


def try_url(url: str) -> UrlTried:
    """Connect to an address, and close again. ``outcome`` is ``mute`` if that works."""
    try:
        host, port = split_url(url)
        socket.create_connection((host, port), SILENCE).close()
    except TimeoutError:
        return UrlTried(url, "silent", f"no answer in {SILENCE:.0f} s")
    except ConnectionRefusedError:
        return UrlTried(url, "refused", "connection refused")
    except (OSError, InputError) as error:
        words = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return UrlTried(url, "unreachable", words)
    return UrlTried(url, "mute", "connected, but no reply")
