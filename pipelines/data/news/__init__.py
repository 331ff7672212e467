"""News: headlines from files into the store, and from the store to the covariates of a panel."""

from pipelines.data.news.join import join
from pipelines.data.news.reading import Imported, store_file

__all__ = ["Imported", "join", "store_file"]
