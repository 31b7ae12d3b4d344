from .files import load_network, save_network
from .fitting import Training, accuracy, fit, freeze
from .methods import Atta, AttaTrades, Online, Plain, Trades

__all__ = [
    "Atta",
    "AttaTrades",
    "Online",
    "Plain",
    "Trades",
    "Training",
    "accuracy",
    "fit",
    "freeze",
    "load_network",
    "save_network",
]
