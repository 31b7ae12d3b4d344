"""Records as a run writes them, of any settings and metrics, for tests of what reads them."""

import json

from semirobust.results import records


def rewrite(path, change):
    """Change a record's document in place as a new run would: with its digest."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    document["digest"] = records.digest_of(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def store(root, experiment, settings, metrics, *, profile="cpu"):
    """Write a whole record under a folder of results and return its file."""
    key = records.key(settings)
    document = {
        "schema": 1,
        "experiment": experiment,
        "key": key,
        "profile": profile,
        "settings": settings,
        "metrics": metrics,
        "provenance": {},
    }
    document["digest"] = records.digest_of(document)
    path = root / experiment / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
