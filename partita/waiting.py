"""Long calls that hold Python back, kept away from the main thread, so that it can answer Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK = 0.1  # seconds between two looks at signals


def patiently(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a call that runs on a thread of its own.

    A compiler runs machine code for seconds in which Python handles no signal. Here the calling thread waits
    in short steps, and a KeyboardInterrupt leaves the call behind; its thread does not keep the process from
    ending.

    Args:
        function: What to call.
        *arguments: Its arguments.
        **options: Its arguments by name.

    Raises:
        BaseException: what the call raises.

    Example:
        >>> patiently(pow, 2, 10)
        1024
    """
    done = threading.Event()
    result: list[Any] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            result.append(function(*arguments, **options))
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=call, name="partita-patient-call", daemon=True).start()
    while not done.wait(LOOK):
        pass
    if failure:
        raise failure[0]
    return result[0]


def is_left_behind() -> bool:
    """Return whether a call that was interrupted is still running.

    Example:
        >>> is_left_behind()
        False
    """
    return any(thread.name == "partita-patient-call" for thread in threading.enumerate())


@contextmanager
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Yield a function that raises `KeyboardInterrupt` once Ctrl-C was pressed.

    The exception may be lost where it comes first: NumPy drops it while it waits for a tensor; and Python, in
    a destructor.

    Example:
        >>> with ctrl_c() as check:
        ...     check()
    """
    if threading.current_thread() is not threading.main_thread():  # a worker's, which gets no signals
        yield lambda: None
        return
    pressed = False

    def press(number, frame):
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
