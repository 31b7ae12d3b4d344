from . import mixtrain
from .bounds import BOUNDS, ball, margins
from .certificates import Bracket, bracket, certified_score, clopper_pearson, verified
from .interval_attack import IntervalGradient
from .latent import latent_boxes, probe_free
from .mixtrain import MixTrain, OnBoxes, Verifiable, verifiable

__all__ = [
    "BOUNDS",
    "Bracket",
    "IntervalGradient",
    "MixTrain",
    "OnBoxes",
    "Verifiable",
    "ball",
    "bracket",
    "certified_score",
    "clopper_pearson",
    "latent_boxes",
    "margins",
    "mixtrain",
    "probe_free",
    "verifiable",
    "verified",
]
