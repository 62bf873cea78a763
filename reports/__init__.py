"""The report: records to tables, figures and a static site. A pure function of the records; no torch."""

from benchmark.collector import few_collections

with few_collections():  # a tenth of the time that importing takes
    from reports.builder import BuildSummary, build
    from reports.load import LeftOut

__all__ = ["BuildSummary", "LeftOut", "build"]
