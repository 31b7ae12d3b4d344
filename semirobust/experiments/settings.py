"""Frozen settings of every table and figure of Table 1's networks, the most telling rows first.

What a row of each profile is stands in ``scales``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.gradient import FGSM, IFGSM, NFGSM, PGD, TRADES, strong_pgd
from semirobust.evaluation.scrutiny import Evaluation
from semirobust.experiments.audits import Audited
from semirobust.experiments.linear import Linear
from semirobust.experiments.revision import Attacked
from semirobust.experiments.row import PRESETS, Row
from semirobust.experiments.scales import (
    CLASSES,
    N_B,
    PROTOCOLS,
    RADIUS,
    Protocol,
    cpu,
    gpu,
    imagenette,
    paper,
    smoke,
)
from semirobust.experiments.study import StaticAttack
from semirobust.theory.semirobustness import Search
from semirobust.training.methods import Atta, AttaTrades, Method, Online, Trades

ROWS: Mapping[str, Callable[..., Row]] = {"smoke": smoke, "cpu": cpu, "gpu": gpu}
QUICK = {"smoke": "alexnet", "cpu": "vgg16", "gpu": "vgg16"}  # where something else is varied
STEPS = {8: 10, 16: 20, 32: 36}  # of the paper's iterated attacks, by radius in 255ths


def table_1(profile: str) -> tuple[Row, ...]:
    rows = {"smoke": _at_smoke, "cpu": _at_cpu, "gpu": _at_gpu, "paper": _as_published}
    return tuple(rows[profile]())


def _at_smoke() -> Iterator[Row]:
    return (smoke(network, protocol) for network in N_B for protocol in PROTOCOLS)


def _at_cpu() -> Iterator[Row]:
    for seed in range(3):
        for network in ("vgg16", "resnet18", "alexnet"):
            yield from (cpu(network, protocol, seed=seed) for protocol in PROTOCOLS)
    yield from map(imagenette, PROTOCOLS)
    for network in ("resnet50", "vit"):
        yield from (cpu(network, protocol) for protocol in PROTOCOLS[::-1])
    for network in ("vgg16", "resnet18", "alexnet", "resnet50"):
        yield from (cpu(network, protocol, data="cifar100") for protocol in PROTOCOLS[::-1])


def _at_gpu() -> Iterator[Row]:
    """Yield the rows at whole width: three seeds of the two headline networks come first."""
    yield from (gpu("vgg16", protocol) for protocol in PROTOCOLS[::-1])
    yield _on_clean(gpu("vgg16", "online"))
    yield from (_doubted(gpu("vgg16", "online", seed=seed)) for seed in (1, 2))
    yield from (_doubted(gpu("resnet18", "online", seed=seed)) for seed in range(3))
    yield _averaged(gpu("resnet18", "online"))
    yield _on_clean(gpu("resnet18", "online"))
    yield _stored(gpu("vgg16", "static"), AutoAttack(epsilon=RADIUS), "AutoAttack")
    for data in CLASSES:
        for network in ("vgg16", "resnet18", "resnet50", "alexnet", "vit"):
            first = data == "cifar10" and network in ("vgg16", "resnet18")
            if not first:
                yield gpu(network, "online", data=data)
            if not (first and network == "vgg16"):
                yield gpu(network, "static", data=data)


def headlines(profile: str) -> tuple[Row, ...]:
    """Return rows with every check and rho as published: the deepest cut, and its control."""
    seeds = range(1 if profile == "smoke" else 3)  # AutoAttack on the first one
    rows = (_doubted(ROWS[profile](QUICK[profile], "online", seed=seed)) for seed in seeds)
    changes: dict[str, Any] = {"controls": ("standard",), "presets": ("paper", "published")}
    return tuple(
        replace(row, study=replace(row.study, n_b=row.study.n_b[-1:]), label="checked", **changes)
        for row in rows
    )


def _doubted(row: Row) -> Row:
    """Return a headline row: every check, every reading of rho, AutoAttack on the first seed."""
    asked = Evaluation(
        attack="headline",
        epsilon=round(255 * row.whitebox.epsilon),
        batch=500,
        dataset=row.study.data.name,
        architecture=row.study.architecture.name,
    )
    official = None if row.study.seed else row.autoattack
    return replace(row, headline=asked, autoattack=official, presets=(*PRESETS, "published"))


def _as_published() -> Iterator[Row]:
    for data in CLASSES:
        for network in ("vgg16", "resnet50", "alexnet"):
            yield from (paper(network, data, protocol) for protocol in PROTOCOLS)


def _averaged(row: Row) -> Row:
    """Return a headline row trained as the field does: longer, with averaged weights."""
    robust, tuning = (
        replace(training, epochs=n, averaging=0.995, label_smoothing=0.1)
        for training, n in ((row.study.robust, 40), (row.study.tuning, 10))
    )
    study = replace(row.study, robust=robust, tuning=tuning)
    return replace(_doubted(row), study=study, label="averaged weights, smoothed labels")


def _on_clean(row: Row) -> Row:
    """Return a row whose f_b is retrained on clean images behind the f_a* made online."""
    tuning = replace(row.study.standard, epochs=row.study.tuning.epochs)
    changes: dict[str, Any] = {"label": "f_b on clean images", "autoattack": None}
    return replace(row, study=replace(row.study, tuning=tuning), **changes)


def _stored(row: Row, attack: StaticAttack, label: str) -> Row:
    """Return a row whose stored examples another attack has made."""
    return replace(row, study=replace(row.study, attack=attack), label=f"stored {label}")


def figure_2(profile: str) -> tuple[Row, ...]:
    """Return rows with many cuts, for rho_j and accuracy by the size of f_b (Figures 1 and 2)."""
    make, protocols = ROWS[profile], PROTOCOLS[::-1]
    sizes = (2, 4, 6) if profile == "smoke" else (2, 4, 6, 8, 10, 12, 14)
    rows: list[tuple[str, Protocol, tuple[int, ...]]] = [
        (QUICK[profile], protocol, sizes) for protocol in protocols
    ]
    if profile != "smoke":
        rows += [("resnet18", protocol, sizes) for protocol in protocols]
    if profile == "gpu":  # the paper's own network, by whole blocks
        rows += [("resnet50", protocol, (4, 7, 10, 13, 16, 22)) for protocol in protocols]
    changes: dict[str, Any] = {"autoattack": None, "controls": ("standard",), "label": "many cuts"}
    changes["images"] = {"smoke": 200, "cpu": 500, "gpu": 1000}[profile]
    return tuple(
        replace(row, study=replace(row.study, n_b=cuts), **changes)
        for row, cuts in ((make(network, protocol), cuts) for network, protocol, cuts in rows)
    )


def sweep(profile: str) -> tuple[Row, ...]:
    """Return rows that differ in the attack and its radius, f_b as large as in Table 1."""
    make, radii = ROWS[profile], {"smoke": (8, 16), "cpu": (4, 8, 12), "gpu": (8, 16, 32)}[profile]
    base = make(QUICK[profile], "static")
    online = tuple(_other_radius(make(QUICK[profile], "online"), n) for n in radii)
    if profile == "gpu":
        stored = [_varied(base, label, attack=attack) for label, attack in _five_attacks(radii)]
        return (*online, *stored)
    static = tuple(_other_radius(base, n) for n in radii)
    whole = base.whitebox.epsilon
    single = PGD(epsilon=whole, step_size=whole, steps=1, random_start=False)
    return (*online, _varied(base, f"FGSM {255 * whole:.0f}", attack=single), *static)


def _five_attacks(radii: tuple[int, ...]) -> Iterator[tuple[str, StaticAttack]]:
    """Yield the paper's five attacks as it gives them, those within a ball at each radius."""
    for n in radii:
        radius, step = n / 255, 1 / 255
        yield f"FGSM {n}", FGSM(epsilon=radius)
        yield f"I-FGSM {n}", IFGSM(epsilon=radius, step_size=step, steps=STEPS[n])
        yield f"PGD {n}", PGD(epsilon=radius, step_size=step, steps=STEPS[n])
        yield f"AutoAttack {n}", AutoAttack(epsilon=radius)
    yield "C&W", CarliniWagner(searches=1)


def _other_radius(row: Row, n: int) -> Row:
    study, radius = row.study, n / 255
    steps = 5 if study.data.name == "digits" else 10
    changes: dict[str, Any] = {"attack": PGD(epsilon=radius, step_size=radius / 4, steps=steps)}
    if study.protocol == "online":
        method = Online(attack=NFGSM(epsilon=radius))
        for part in ("robust", "tuning"):
            changes[part] = replace(getattr(study, part), method=method)
    label = f"{'PGD' if study.protocol == 'static' else 'N-FGSM'} {n}"
    return _varied(replace(row, whitebox=strong_pgd(radius)), label, **changes)


def _varied(row: Row, label: str, **changes: Any) -> Row:
    """Return a row of another study: one cut, at most 500 images, no controls."""
    study = replace(row.study, n_b=row.study.n_b[-1:], **changes)
    row = replace(row, study=study, label=label, images=min(row.images, 500))
    return replace(row, presets=("paper",), autoattack=None, controls=())


def methods(profile: str) -> tuple[Row, ...]:
    """Return rows that differ in how f_b is trained behind one f_a* (later revision, methods)."""
    row = ROWS[profile](QUICK[profile], "online")
    radius = row.whitebox.epsilon
    steps = 3 if profile == "smoke" else 10
    inner = PGD(epsilon=radius, step_size=radius / 4, steps=steps)
    carried = replace(inner, step_size=radius / 2, steps=3, random_start=False)
    chosen: dict[str, Method] = {
        "N-FGSM": Online(attack=NFGSM(epsilon=radius)),
        "PGD": Online(attack=inner),
        "TRADES": Trades(attack=TRADES(epsilon=radius, step_size=radius / 4, steps=steps)),
        "ATTA": Atta(attack=carried),
        "ATTA+TRADES": AttaTrades(attack=TRADES(epsilon=radius, step_size=radius / 2, steps=3)),
    }
    rows = [
        _varied(row, name, tuning=replace(row.study.tuning, method=method, augment=False))
        for name, method in chosen.items()
    ]
    if profile != "smoke":  # what is rho where the training of f_b fails?
        fails = replace(row.study.tuning, learning_rate=2.0)
        rows.append(_varied(row, "N-FGSM, a rate that fails", tuning=fails))
    return tuple(rows)


def connectivity(profile: str) -> tuple[Linear, ...]:
    """Return the rows of Table S1, f_b of 1, 5 and 9 layers of ResNet-18."""
    brief = profile == "smoke"
    row = ROWS[profile]("alexnet" if brief else "resnet18", "online")
    images, solving = (100, 200) if brief else (500, 2000)
    pgd = PGD(epsilon=row.whitebox.epsilon, step_size=row.whitebox.step_size, steps=10)
    single = PGD(epsilon=pgd.epsilon, step_size=pgd.epsilon, steps=1, random_start=False)
    study = replace(row.study, n_b=(1, 3, 5) if brief else (1, 5, 9))
    attacks = (("FGSM", single), ("PGD", pgd))
    return (Linear(study=study, attacks=attacks, images=images, solving=solving),)


def revision(profile: str) -> tuple[Attacked, ...]:
    """Return the rows of Tables S2 to S4: none, FGSM and PGD on the same networks."""
    names = ["alexnet"] if profile == "smoke" else ["vgg16", "resnet18"]
    found = []
    for row in (ROWS[profile](name, "online") for name in names):
        attacks = (("FGSM", FGSM(epsilon=row.whitebox.epsilon)), ("PGD", row.whitebox))
        found.append(Attacked(study=row.study, attacks=attacks, images=max(row.images, 250)))
    return tuple(found)


def audits(profile: str) -> tuple[Audited, ...]:
    """Return the rows whose assumptions are audited: those of Table 1, first seeds."""
    if profile == "smoke":
        search = Search(epsilon=16 / 255, steps=3, restarts=1)
        few = {"fitting": 300, "images": 250, "searched": 30}
        return (Audited(row=smoke("alexnet", "online"), search=search, **few),)
    search = Search(epsilon=RADIUS, steps=5, restarts=1)
    rows = (
        ROWS[profile](network, protocol)
        for network in ("vgg16", "alexnet", "resnet18")
        for protocol in PROTOCOLS[::-1]
    )
    return tuple(Audited(row=row, search=search) for row in rows)
