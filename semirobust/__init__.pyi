from . import (
    algorithm1,
    attacks,
    certified,
    colab,
    data,
    edge,
    evaluation,
    experiments,
    figures,
    findings,
    layers,
    links,
    models,
    results,
    theory,
    tickets,
    training,
    types,
    workflow,
)
from .algorithm1 import Algorithm1, best, trials
from .attacks import FGSM, PGD, AutoAttack
from .data import DataSet, Samples, load, subset
from .edge import Edge, rho
from .evaluation import Report, robust_accuracy
from .layers import activations, compose, cut, fold, splice, split, trainable_layers
from .links import as_chain
from .models import Architecture, build
from .theory import gamma
from .training import Online, Training, accuracy, fit, freeze, load_network, save_network

__version__: str

__all__ = [
    "FGSM",
    "PGD",
    "Algorithm1",
    "Architecture",
    "AutoAttack",
    "DataSet",
    "Edge",
    "Online",
    "Report",
    "Samples",
    "Training",
    "accuracy",
    "activations",
    "algorithm1",
    "as_chain",
    "attacks",
    "best",
    "build",
    "certified",
    "colab",
    "compose",
    "cut",
    "data",
    "edge",
    "evaluation",
    "experiments",
    "figures",
    "findings",
    "fit",
    "fold",
    "freeze",
    "gamma",
    "layers",
    "links",
    "load",
    "load_network",
    "models",
    "results",
    "rho",
    "robust_accuracy",
    "save_network",
    "splice",
    "split",
    "subset",
    "theory",
    "tickets",
    "trainable_layers",
    "training",
    "trials",
    "types",
    "workflow",
]
