from .adaptive import adaptive_attacks
from .apgd import APGD, TargetedAPGD
from .autoattack import AutoAttack, FastEnsemble, Headline
from .carlini_wagner import CarliniWagner
from .fab import FAB
from .gradient import FGSM, IFGSM, NFGSM, PGD, TRADES, from_name
from .square import Square

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "IFGSM",
    "NFGSM",
    "PGD",
    "TRADES",
    "AutoAttack",
    "CarliniWagner",
    "FastEnsemble",
    "Headline",
    "Square",
    "TargetedAPGD",
    "adaptive_attacks",
    "from_name",
]
