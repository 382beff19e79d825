"""Delta tables: files, log, snapshots, and commits by compare-and-swap."""
