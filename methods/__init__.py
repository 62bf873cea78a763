"""Adapters: one method a file, found by the file's name. Files whose name starts with ``_`` are shared parts."""
