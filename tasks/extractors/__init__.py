"""Extractors turn contents into features: a card that says what is known, and a function that computes."""

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import Extractor, register
from otzyv.tasks.extractors.registry import get, names, shipped, unavailable
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.models.weights import File, Weights

__all__ = [
    "AudioInput",
    "Card",
    "Column",
    "Extractor",
    "File",
    "ImageInput",
    "Run",
    "Weights",
    "get",
    "names",
    "register",
    "shipped",
    "unavailable",
]
