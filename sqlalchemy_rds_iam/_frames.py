"""What a failed connect leaves behind: the local variables of frames that its error keeps alive.

A driver has the password in plain text among its local variables. A traceback keeps them, and error
reporters, debuggers and ``traceback.TracebackException(capture_locals=True)`` show them.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator
from types import FrameType, TracebackType

_RESUMABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def clear(
    error: BaseException,
    caller: FrameType,
    handled: Collection[BaseException | None],
    *,
    forget: Callable[[BaseException], None] | None = None,
) -> None:
    """Empty the frames that `caller` has called, as far as `error` and what led to it show them.

    Frames that existed before are left alone: those of the errors in `handled`, and those that have
    not ended. Before Python 3.13 ``frame.clear()`` would close a generator that is suspended.

    Args:
        error: what the call has raised; with its causes, contexts and the members of groups.
        caller: the frame of the function that has made the call.
        handled: the errors that were being handled when the call began. What comes behind them in
            a chain of contexts is not looked at.
        forget: takes out of an error what it holds itself.
    """
    for each in _chain(error, handled):
        if forget is not None:
            forget(each)
        _empty(frame for frame in _frames(each.__traceback__) if _called_by(caller, frame))


def empty(traceback: TracebackType | None) -> None:
    """Empty all frames of a traceback that have ended, and none that is suspended."""
    _empty(_frames(traceback))


def _empty(frames: Iterable[FrameType]) -> None:
    for frame in frames:
        if _has_ended(frame):
            with contextlib.suppress(RuntimeError):  # it runs in another thread after all
                frame.clear()


def _chain(
    error: BaseException, handled: Collection[BaseException | None]
) -> Iterator[BaseException]:
    seen = {id(each) for each in handled}
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _has_ended(frame: FrameType) -> bool:
    """Whether a frame neither runs nor is suspended: only then does it own what is in it."""
    return any(each is frame.f_code for each in gc.get_referents(frame))


def _called_by(caller: FrameType, frame: FrameType) -> bool:
    """Whether `caller` is below `frame` on the stack.

    A coroutine or a generator that has ended does not know any more what it was awaited by. In a
    traceback that is not of an error that was handled before, the call has made it.
    """
    last, back = frame, frame.f_back
    while back is not None and back is not caller:
        last, back = back, back.f_back
    return back is caller or bool(last.f_code.co_flags & _RESUMABLE and _has_ended(last))
