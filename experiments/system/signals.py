"""Ctrl-C and other signals that end a command, at whatever point they arrive."""

from __future__ import annotations

import signal

_received: list[int] = []


def raise_on_signals() -> None:
    """Raise KeyboardInterrupt on SIGINT, SIGTERM and SIGHUP, except a signal that the parent process ignores."""
    _received.clear()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup does with SIGHUP
            signal.signal(number, _interrupt)


def check_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal has arrived.

    Python drops the exception that a signal raises inside a finalizer or a callback of C.
    """
    if _received:
        raise KeyboardInterrupt


def _interrupt(signum: int, frame: object) -> None:
    _received.append(signum)
    raise KeyboardInterrupt
