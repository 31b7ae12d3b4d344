from .records import Record, key, load, path_of, results_root, save
from .artefacts import Artefact, held, publish
from .code import salt

__all__ = ["Artefact", "Record", "held", "key", "load", "path_of", "publish", "results_root", "salt", "save"]
