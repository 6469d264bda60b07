"""The catalogue of named inputs, and the one function that computes them: live, in training and in evaluation."""

from actors.domain.features.catalogue import FEATURE_NAMES, catalogue
from actors.domain.features.describe import Feature, Group
from actors.domain.features.extract import Extracted, Extractor, extract, snapshot
from actors.domain.features.prematch import PreMatch

__all__ = [
    "FEATURE_NAMES",
    "Extracted",
    "Extractor",
    "Feature",
    "Group",
    "PreMatch",
    "catalogue",
    "extract",
    "snapshot",
]
