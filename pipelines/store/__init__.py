"""The door of tables: Delta Lake, idempotent upserts, readable by version and by what was known when."""

from pipelines.store.door import Store
from pipelines.store.tables import TABLES, Table
from pipelines.store.versions import Versions

__all__ = ["TABLES", "Store", "Table", "Versions"]
