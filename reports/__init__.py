"""The report: records to tables, figures and a static site. A pure function of the records; no torch."""
