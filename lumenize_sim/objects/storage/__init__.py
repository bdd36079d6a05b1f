"""Storage of the Durable Object machine: transactional, on SQLite, without I/O of its own in simulation."""

from __future__ import annotations

from lumenize_sim.objects.storage.backend import backend_of, open_store, storage_over
from lumenize_sim.objects.storage.durable import Commit, Durable
from lumenize_sim.objects.storage.errors import INACCESSIBLE, StorageError, StorageResetError
from lumenize_sim.objects.storage.hooks import AccessKind, StoreHooks
from lumenize_sim.objects.storage.kv import SyncKV
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.object_store import ObjectStore
from lumenize_sim.objects.storage.pool import ConnectionPool
from lumenize_sim.objects.storage.sql import SqlStorage
from lumenize_sim.objects.storage.sql_cursor import SqlCursor
from lumenize_sim.objects.storage.storage import Storage
from lumenize_sim.objects.storage.store import Store
from lumenize_sim.objects.storage.transaction import StorageTransaction, TransactionOperations
from lumenize_sim.objects.storage.usage import Usage, UsageKind

__all__ = [
    "INACCESSIBLE",
    "AccessKind",
    "Commit",
    "ConnectionPool",
    "Durable",
    "Limits",
    "ObjectStore",
    "SqlCursor",
    "SqlStorage",
    "Storage",
    "StorageError",
    "StorageResetError",
    "StorageTransaction",
    "Store",
    "StoreHooks",
    "SyncKV",
    "TransactionOperations",
    "Usage",
    "UsageKind",
    "backend_of",
    "open_store",
    "storage_over",
]
