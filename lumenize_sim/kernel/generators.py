"""Async generators that nobody finishes: closed in their owner, never by a system task.

An async generator whose last reference goes away while it is suspended must still run
its ``finally``.  Trio does that in a system task, which has no owner, so no gate could
hold it, and warns.  Here the owner whose code first iterated the generator gets a task
that closes it, in the context of that code.  It is a task like any other: where it is
the owner's turn it continues the turn, otherwise it arrives as a wake-up.  A dead
owner's generator is kept, and so is every one that is abandoned once the verdict is
fixed; these are closed at the end, in the order in which they were first iterated.

As on plain Trio the closing happens in a cancelled scope (an ``await`` in the
``finally`` raises), and what it raises is logged and changes nothing.

The interpreter keeps, with each generator, the finalizer that was installed when it was
first iterated.  So every generator gets a finalizer of its own, and nothing needs to
be looked up by address when one comes back.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import ref

import trio

from lumenize_sim.kernel.watchdog import TurnTimeout

__all__ = ["Generators"]

_logger = logging.getLogger("trio.async_generator_errors")  # where Trio itself reports them

Generator = AsyncGenerator[Any, Any]


class _Slot:
    """One generator, from its first iteration on."""

    __slots__ = ("_kept", "_seen", "context", "home", "nth")

    def __init__(self, home: Generators) -> None:
        self.home = home
        self.nth = -1
        self.context: Context | None = None
        self._seen: ref[Generator] | None = None
        self._kept: Generator | None = None

    def first(self, generator: Generator, nth: int) -> None:
        """``generator`` is iterated for the first time, in the present context."""
        self.nth = nth
        self.context = copy_context()
        self._seen = ref(generator, self._exhausted)

    def _exhausted(self, _: object) -> None:
        # Called when the last reference goes, before `__call__` where the generator is suspended.
        self.home.open.pop(self, None)

    def __call__(self, generator: Generator, /) -> None:
        """The finalizer: ``generator`` was abandoned."""
        self.home.abandoned(self, generator)

    def keep(self, generator: Generator) -> None:
        """Nothing collects it any more."""
        self._kept = generator

    @property
    def generator(self) -> Generator | None:
        """The generator, where it is still suspended."""
        if self._kept is not None:
            return self._kept
        return self._seen() if self._seen is not None else None


class Generators:
    """All async generators of one run.

    Args:
        strand_var: names the owner of the running code (``.owner``).
        interrupt: hears Ctrl-C, or a turn broken off, that reached a generator.

    Attributes:
        open: those that are neither exhausted nor abandoned.
        kept: abandoned ones that are closed at the end.
        closing: the verdict is fixed.
    """

    def __init__(self, strand_var: ContextVar[Any], interrupt: Callable[[BaseException], None]) -> None:
        self._strand_var = strand_var
        self._interrupt = interrupt
        self._next = 0
        self._slot = _Slot(self)
        self.open: dict[_Slot, None] = {}
        self.kept: list[_Slot] = []
        self.closing = False

    def install(self) -> None:
        """Take the place of Trio's hooks on this thread.  Trio itself restores what was there before the run."""
        sys.set_asyncgen_hooks(firstiter=self._first, finalizer=self._slot)

    def _first(self, generator: Generator) -> None:
        slot = self._slot
        slot.first(generator, self._next)
        self._next += 1
        self.open[slot] = None
        self._slot = _Slot(self)
        sys.set_asyncgen_hooks(finalizer=self._slot)

    def abandoned(self, slot: _Slot, generator: Generator) -> None:
        """Close ``generator`` in its owner, or keep it for the end."""
        assert slot.context is not None
        strand = slot.context.get(self._strand_var)
        if strand is None or strand.owner.dead or self.closing:
            slot.keep(generator)
            self.kept.append(slot)
            return
        # A copy, because the context may be the one that is entered right now.
        slot.context.copy().run(strand.owner.start, self._close, (generator,))

    async def close_rest(self) -> None:
        """Close what is left, one after the other, in order of first iteration.  What they raise concerns nobody."""
        while self.open or self.kept:
            rest = sorted([*self.open, *self.kept], key=lambda slot: slot.nth)
            self.open.clear()
            self.kept.clear()
            for slot in rest:
                generator = slot.generator
                # One that still runs is inside a task that would not end.
                if generator is not None and not getattr(generator, "ag_running", False):
                    assert slot.context is not None
                    async with trio.open_nursery() as nursery:
                        slot.context.copy().run(nursery.start_soon, _close_quietly, generator)

    async def _close(self, generator: Generator) -> None:
        try:
            await _closed(generator)
        except (KeyboardInterrupt, TurnTimeout) as error:
            self._interrupt(error)
        except BaseException:
            strand = self._strand_var.get()
            if not strand.owner.dead:
                _logger.exception("an abandoned async generator raised while it was closed: %r", generator)


async def _closed(generator: Generator) -> None:
    with trio.CancelScope(shield=True) as scope:
        scope.cancel()
        await generator.aclose()


async def _close_quietly(generator: Generator) -> None:
    with suppress(BaseException):
        await _closed(generator)
