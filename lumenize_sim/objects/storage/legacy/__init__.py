"""The legacy key-value backend: storage that really waits, behind a cache (``storage_backend = "kv"``)."""

from __future__ import annotations

from lumenize_sim.objects.storage.legacy.cache import CacheMemory
from lumenize_sim.objects.storage.legacy.disk import Disk
from lumenize_sim.objects.storage.legacy.storage import HiddenSqlStorage, LegacyStorage
from lumenize_sim.objects.storage.legacy.store import LegacyStore
from lumenize_sim.objects.storage.legacy.transaction import LegacyTransaction

__all__ = ["CacheMemory", "Disk", "HiddenSqlStorage", "LegacyStorage", "LegacyStore", "LegacyTransaction"]
