"""Adapters: one method a file, found by its name. Files named ``_…`` are parts that several share."""
