from .fitting import Epoch, Training, accuracy, fit, load_network, save_network
from .methods import Atta, AttaTrades, Online, Plain, Trades

__all__ = [
    "Atta",
    "AttaTrades",
    "Epoch",
    "Online",
    "Plain",
    "Trades",
    "Training",
    "accuracy",
    "fit",
    "load_network",
    "save_network",
]
