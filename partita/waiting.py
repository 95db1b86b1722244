"""Long calls that hold Python back, kept away from the main thread, so that it can answer Ctrl-C."""

import threading
from collections.abc import Callable
from typing import Any

LOOK = 0.1  # seconds between two looks at signals


def patiently(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a call that runs on a thread of its own.

    A compiler runs machine code for seconds in which Python handles no signal. Here the calling thread waits in short steps, and a
    KeyboardInterrupt leaves the call behind; its thread does not keep the process from ending.

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
