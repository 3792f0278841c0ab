"""Tries the addresses of a manager, one by one, and says how each one fails."""

from __future__ import annotations

import errno
import socket
import time

from adaptive_scheduler.core.doctor.observations import UrlTried
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.transport.addresses import split_url

#: Seconds until a first packet without an answer counts as lost; it is sent again after 1 and 3.
SILENCE = 5.0
#: "No route to host" within so many seconds is what a firewall answers (an ICMP "administratively prohibited",
#: as firewalld does); where there is no such host, Linux asks for it 3 times, a second each (arp(7)).
_ANSWERED = 2.0


def try_url(url: str) -> UrlTried:
    """Connect to an address, and close again. ``outcome`` is ``mute`` if that works."""
    begun = time.monotonic()
    try:
        host, port = split_url(url)
        socket.create_connection((host, port), SILENCE).close()
    except TimeoutError:
        return UrlTried(url, "silent", f"no answer in {SILENCE:.0f} s")
    except ConnectionRefusedError:
        return UrlTried(url, "refused", "connection refused")
    except (OSError, InputError) as error:
        words = (error.strerror if isinstance(error, OSError) else "") or str(error)
        is_answer = time.monotonic() - begun < _ANSWERED
        if isinstance(error, OSError) and error.errno == errno.EHOSTUNREACH and is_answer:
            return UrlTried(url, "refused", f"{words}, answered at once")
        return UrlTried(url, "unreachable", words)
    return UrlTried(url, "mute", "connected, but no reply")
