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
    models,
    results,
    theory,
    tickets,
    training,
    types,
    workflow,
)
from .algorithm1 import Algorithm1, Trial, best, trials
from .attacks import FGSM, NFGSM, PGD, AutoAttack
from .data import DataSet, Samples, load, subset
from .edge import Edge, rho
from .evaluation import Report, robust_accuracy
from .layers import activations, compose, cut, splice, split
from .models import Architecture, build
from .theory import gamma
from .training import Training, accuracy, fit, load_network, save_network

__version__: str

__all__ = [
    "FGSM",
    "NFGSM",
    "PGD",
    "Algorithm1",
    "Architecture",
    "AutoAttack",
    "DataSet",
    "Edge",
    "Report",
    "Samples",
    "Training",
    "Trial",
    "accuracy",
    "activations",
    "algorithm1",
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
    "gamma",
    "layers",
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
    "training",
    "trials",
    "types",
    "workflow",
]
