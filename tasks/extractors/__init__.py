"""Extractors turn contents into features: a card that says what is known, and a function that computes."""

from otzyv.tasks.extractors.card import AudioInput, Card, File, ImageInput, Run, Weights
from otzyv.tasks.extractors.registry import Extractor, get, names, register, unavailable

__all__ = [
    "AudioInput",
    "Card",
    "Extractor",
    "File",
    "ImageInput",
    "Run",
    "Weights",
    "get",
    "names",
    "register",
    "unavailable",
]
