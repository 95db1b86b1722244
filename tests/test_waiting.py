"""Ctrl-C is answered."""

import signal
from contextlib import suppress

import pytest

from partita.waiting import ctrl_c


def test_ctrl_c_is_not_lost_where_someone_drops_it():
    handler = signal.getsignal(signal.SIGINT)
    with ctrl_c() as check:
        check()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is handler
