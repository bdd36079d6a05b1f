"""Which backend a class is stored on, and the stores and ``ctx.storage`` of each.

A class says ``storage_backend = "kv"`` for the legacy key-value backend; the default is SQLite.  The
open-source runtime keeps everything in SQLite and only hides what such a class may not use (11), and so does
every host with files, as the legacy backend has none.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.storage.durable import Durable
from lumenize_sim.objects.storage.history import keeps_history
from lumenize_sim.objects.storage.hooks import StoreHooks
from lumenize_sim.objects.storage.legacy import HiddenSqlStorage, LegacyStorage, LegacyStore
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.object_store import ObjectStore
from lumenize_sim.objects.storage.pool import ConnectionPool
from lumenize_sim.objects.storage.splitting import SplitWrites
from lumenize_sim.objects.storage.storage import Storage
from lumenize_sim.objects.storage.store import Store

__all__ = ["backend_of", "open_store", "storage_over"]


def backend_of(cls: type) -> Literal["sqlite", "kv"]:
    """What ``cls`` chose.

    Raises:
        UsageError: neither of the two.
    """
    chosen: Any = getattr(cls, "storage_backend", "sqlite")
    if chosen == "kv":
        return "kv"
    if chosen != "sqlite":
        raise UsageError(f"{cls.__name__}.storage_backend is {chosen!r}; write 'sqlite', the default, or 'kv'")
    return "sqlite"


@lru_cache(maxsize=16)
def _limits(options: MachineOptions) -> Limits:
    make = Limits.workerd if options.runtime == "workerd" else Limits
    return make(
        cache_bytes=options.kv_cache_bytes, cache_stale_s=options.kv_cache_stale_s, object_bytes=options.object_bytes
    )


def open_store(
    cls: type,
    options: MachineOptions,
    durable: Durable,
    hooks: StoreHooks,
    *,
    pool: ConnectionPool | None = None,
    now_ms: Callable[[], int],
    generator: random.Random | None = None,
) -> ObjectStore:
    """The store of a new incarnation of ``cls``, on what is durable.

    Raises:
        UsageError: the class has changed its backend, which no deployment can.
    """
    limits = _limits(options)
    legacy = backend_of(cls) == "kv" and options.runtime != "workerd" and durable.path is None
    if durable.image is not None if legacy else durable.disk is not None:
        raise UsageError(f"{cls.__name__} has changed its storage_backend; a class keeps the one it was created with")
    if legacy:
        memory = pool.shared_memory(cls, limits.cache_bytes) if pool is not None and options.kv_cache_shared else None
        return LegacyStore(durable, hooks=hooks, limits=limits, memory=memory, now_ms=now_ms)
    store = Store(durable, hooks=hooks, pool=pool, limits=limits, now_ms=now_ms, generator=generator)
    if durable.history is None and options.runtime == "production" and durable.path is None and keeps_history(cls):
        store.remember()
    return store


def storage_over(store: ObjectStore, cls: type, options: MachineOptions, now_ms: Callable[[], int]) -> Storage:
    """``ctx.storage`` over ``store``, as `open_store` made it for ``cls``."""
    deletes = options.flag("delete_all_deletes_alarm")
    if isinstance(store, LegacyStore):
        return LegacyStorage(store, now_ms=now_ms, delete_all_deletes_alarm=deletes)
    if not isinstance(store, Store):
        raise SimulatorError(f"no storage is known over a {type(store).__name__}")
    make = HiddenSqlStorage if backend_of(cls) == "kv" else Storage
    storage = make(store, now_ms=now_ms, delete_all_deletes_alarm=deletes, recovers=options.runtime == "production")
    if options.awaited_writes_split is True:
        storage._entries = SplitWrites(storage._entries, lambda: store.hooks.split())
    return storage
