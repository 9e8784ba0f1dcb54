"""Ctrl-C and its like, which end a command wherever they come."""

from __future__ import annotations

import signal

_received: list[int] = []


def raise_on_signals() -> None:
    """Have SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, but those that this process was told to ignore."""
    _received.clear()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _interrupt)


def check_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal came whose own was lost, as happens in a finalizer or a callback of C."""
    if _received:
        raise KeyboardInterrupt


def _interrupt(signum: int, frame: object) -> None:
    _received.append(signum)
    raise KeyboardInterrupt
