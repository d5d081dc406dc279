"""A report of one run: a single HTML file that explains what was learned and shows it."""

from cvrl_jax.observe.report.classified import Classified, Confused, Mistaken
from cvrl_jax.observe.report.contents import (
    FactorAccuracy,
    Neighbour,
    NeighbourQuery,
    ReportContents,
    SummaryNumber,
)
from cvrl_jax.observe.report.layers_section import Layers
from cvrl_jax.observe.report.multimodal import (
    Direction,
    Found,
    Multimodal,
    Places,
    SentenceQuery,
    Similarity,
)
from cvrl_jax.observe.report.page import write_report

__all__ = [
    "Classified",
    "Confused",
    "Direction",
    "FactorAccuracy",
    "Found",
    "Layers",
    "Mistaken",
    "Multimodal",
    "Neighbour",
    "NeighbourQuery",
    "Places",
    "ReportContents",
    "SentenceQuery",
    "Similarity",
    "SummaryNumber",
    "write_report",
]
