"""From a source to features on disk: sources, ingest, quality, materialize."""
