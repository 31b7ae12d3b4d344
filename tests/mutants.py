"""Seeded bugs, each with the test that must fail: ``python tests/mutants.py``, or ``make mutants``.

Every edit is made in a copy of the checkout; an edit that no longer applies is said, like one that
no test notices.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
FITTING, PUBLISHED = "semirobust/training/fitting.py", "tests/results/test_code.py"
RECORDS, LOST = "semirobust/results/records.py", "tests/results/test_artefacts.py"
NEAR_TIE = "tests/certified/test_rounding.py::test_at_near_ties"
MUTANTS = (  # what, file, old, new, test
    (
        "helpers leave the digest",
        "semirobust/results/code.py",
        'waiting += [Place(place.module, ""), *(end for group in ends for end in group)]',
        'waiting += [Place(place.module, "")]',
        PUBLISHED,
    ),
    (
        "a file is written in place",
        RECORDS,
        '    prefix = f"{beside}{os.getpid()}."\n',
        '    path.write_bytes(content)\n    prefix = f"{beside}{os.getpid()}."\n',
        LOST,
    ),
    (
        "the best seed stands for the mean",
        "semirobust/results/verdicts.py",
        "mean = float(np.mean(values))",
        "mean = float(np.max(values))",
        "tests/results/test_verdicts.py",
    ),
    (
        "ramp is not handed on",
        "semirobust/experiments/mixtrain_settings.py",
        "MixTrain(epsilon=epsilon, ramp=ramp, every=every)",
        "MixTrain(epsilon=epsilon, every=every)",
        "tests/test_survivors.py",
    ),
    (
        "every is not handed on",
        "semirobust/experiments/mixtrain_settings.py",
        "MixTrain(epsilon=epsilon, ramp=ramp, every=every)",
        "MixTrain(epsilon=epsilon, ramp=ramp)",
        "tests/test_survivors.py",
    ),
    (
        "a checkpoint of another cut is taken up",
        FITTING,
        '            **self.cut,\n            "network"',
        '            "network"',
        "tests/training/test_fitting.py",
    ),
    (
        "a checkpoint is not held to its digest",
        "semirobust/training/files.py",
        "if sha256(saved).digest() != digest:",
        "if not digest:",
        "tests/training/test_fitting.py",
    ),
    (
        "a batch of one sample is trained on",
        FITTING,
        "if len(batch.y) < 2:",
        "if len(batch.y) < 1:",
        "tests/test_survivors.py",
    ),
    (
        "the last batch counts like a whole one",
        FITTING,
        "total += loss * len(batch.y)",
        "total += loss * len(self.samples) / steps",
        "tests/test_survivors.py",
    ),
    (
        "restarts are left out",
        "semirobust/attacks/gradient.py",
        "for restart in range(1, self.restarts):",
        "for restart in range(1, 1):",
        "tests/test_survivors.py",
    ),
    (
        "what stands is not asked again",
        "semirobust/evaluation/report.py",
        "standing=search.standing & ~lost,",
        "standing=search.standing,",
        "tests/test_survivors.py",
    ),
    (
        "a changed fact is used",
        "semirobust/results/artefacts.py",
        'record.get("digest") != results.digest_of(record) or',
        "",
        LOST,
    ),
    (
        "rounding is left out of certificates",
        "semirobust/certified/certificates.py",
        "outward=True",
        "outward=False",
        NEAR_TIE,
    ),
)


def survives(old: str, new: str, file: str, test: str) -> bool:
    """Return whether a test passes in a copy of the checkout with an edit."""
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("semirobust", "tests", "book", "notebooks", "results", "pyproject.toml"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        text = (copy / file).read_text(encoding="utf-8")
        if old not in text:
            raise SystemExit(f"{file} no longer holds {old!r}: change the mutant")
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        name, _, chosen = test.partition("::")
        words = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", str(copy / name)]
        words += ["-k", chosen] if chosen else []
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


def main(words: list[str]) -> int:
    """Make every edit whose name holds the words; return how many no test has noticed."""
    left = 0
    for what, file, old, new, test in MUTANTS:
        if all(word in what for word in words):
            alive = survives(old, new, file, test)
            left += alive
            sys.stdout.write(f"{'SURVIVES' if alive else 'noticed '}  {what}\n")
            sys.stdout.flush()
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
