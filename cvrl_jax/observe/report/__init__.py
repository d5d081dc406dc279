"""A report of one run: a single HTML file that explains what was learned and shows it."""

from cvrl_jax.observe.report.contents import (
    FactorAccuracy,
    Neighbour,
    NeighbourQuery,
    ReportContents,
    SummaryNumber,
)
from cvrl_jax.observe.report.page import write_report

__all__ = [
    "FactorAccuracy",
    "Neighbour",
    "NeighbourQuery",
    "ReportContents",
    "SummaryNumber",
    "write_report",
]
