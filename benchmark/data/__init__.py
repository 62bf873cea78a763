"""Datasets, the scenario engine, transforms and loaders."""
