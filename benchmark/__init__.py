"""The harness of CSS-Bench. It knows no method by name.

Importing this package is cheap on purpose: torch is imported by the modules that need it, so that
``cssbench --help``, the report and the metrics start without it.
"""

__version__ = "0.1.0"
