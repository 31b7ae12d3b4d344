"""Frozen settings of every table and figure, in profiles, the most telling rows first.

smoke   digits, a minute; says only that everything works,
cpu     CIFAR-10 (10,000 images) and narrow networks; shows the phenomenon,
gpu     whole CIFAR-10, CIFAR-100 and Imagenette, whole width,
paper   the settings of the paper and its later revision, as far as they are given.

A key is the hash of what differs from the defaults, so a published row is never edited in place.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from semirobust.attacks.gradient import FGSM, NFGSM, PGD, TRADES, strong_pgd
from semirobust.data import Part
from semirobust.experiments.audits import Audited
from semirobust.experiments.linear import Linear
from semirobust.experiments.revision import Attacked
from semirobust.experiments.row import Row
from semirobust.experiments.study import Study
from semirobust.models import Architecture
from semirobust.theory.semirobustness import Search
from semirobust.training.fitting import Training
from semirobust.training.methods import Atta, AttaTrades, Method, Online, Plain, Trades

Protocol: TypeAlias = Literal["static", "online"]
PROTOCOLS: tuple[Protocol, ...] = ("static", "online")
N_B = {"alexnet": (4,), "vgg16": (4, 12), "resnet18": (4, 12), "resnet50": (16,), "vit": (12,)}
WIDTH = {"alexnet": 0.5, "vgg16": 0.25, "resnet18": 0.25, "resnet50": 0.25, "vit": 0.25}
AUTOATTACK = {"vgg16": 100}  # images; 50 where it is dearer
SMOKE = {  # width of the network; images to train on, images to attack, epochs
    "alexnet": (0.25, 800, 100, 12),
    "vgg16": (0.125, 800, 200, 6),
    "resnet18": (0.125, 300, 100, 6),
    "resnet50": (0.0625, 128, 30, 3),
    "vit": (0.0625, 128, 30, 3),
}
QUICK = {"smoke": "alexnet", "cpu": "vgg16"}  # of the experiments that vary something else
RATE = {"alexnet": 0.05, "vit": 0.02}  # no batch norm: the others stand 0.1


def table_1(profile: str) -> tuple[Row, ...]:
    if profile == "smoke":
        return tuple(smoke(network, protocol) for network in N_B for protocol in PROTOCOLS)
    if profile != "cpu":
        return tuple(large(*row, profile) for row in PUBLISHED_ROWS)
    whole = tuple(
        cpu(network, protocol, seed=seed)
        for seed in range(3)
        for network in ("vgg16", "resnet18", "alexnet")
        for protocol in PROTOCOLS
    )
    return whole + tuple(imagenette(protocol) for protocol in PROTOCOLS)


def smoke(network: str, protocol: Protocol, *, seed: int = 0) -> Row:
    """Return a row on digits with a very narrow network, epsilon 16/255."""
    radius = 16 / 255
    width, train, images, epochs = SMOKE[network]
    base = Training(epochs=epochs, learning_rate=RATE.get(network, 0.05), batch=64)
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)))
    study = Study(
        architecture=Architecture(name=network, width=width),
        data=Part(name="digits", train=train, validation=images // 2, test=250),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=4 / 255, steps=5),
        n_b=N_B[network][-1:],
        standard=base,
        robust=replace(base, epochs=epochs - 1) if protocol == "static" else made,
        tuning=replace(base if protocol == "static" else made, epochs=epochs // 2),
        seed=seed,
    )
    return Row(study=study, whitebox=strong_pgd(radius), images=images, controls=("standard",))


def cpu(network: str, protocol: Protocol, *, seed: int = 0) -> Row:
    """Return a row on 10,000 CIFAR-10 images with a narrow network, epsilon 8/255.

    AutoAttack costs more than all the rest of an online row and is run on the first seed.
    """
    radius = 8 / 255
    base = Training(
        epochs=12,
        learning_rate=RATE.get(network, 0.1),
        precision="bfloat16",
        channels_last=network != "alexnet",
    )
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)), augment=True)
    stored = replace(base, method=Plain(), epochs=10)
    study = Study(
        architecture=Architecture(name=network, width=WIDTH[network]),
        data=Part(name="cifar10", train=10_000, validation=300),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=2 / 255, steps=10),
        n_b=N_B[network],
        standard=replace(base, augment=True),
        robust=stored if protocol == "static" else made,
        tuning=replace(stored if protocol == "static" else made, epochs=5),
        seed=seed,
    )
    return Row(
        study=study,
        whitebox=strong_pgd(radius),
        autoattack=None if seed else AUTOATTACK.get(network, 50),
    )


def imagenette(protocol: Protocol) -> Row:
    """Return a row on a few Imagenette images at 64 x 64 pixels, trained longer."""
    row = cpu("vgg16", protocol, seed=1)
    study = replace(
        row.study,
        architecture=replace(row.study.architecture, size=64),
        data=Part(name="imagenette", size=64),
        n_b=(12,),
        standard=replace(row.study.standard, epochs=40),
        robust=replace(row.study.robust, epochs=40),
        tuning=replace(row.study.tuning, epochs=15),
        seed=0,
    )
    return replace(row, study=study, images=500, controls=("standard",))


CLASSES = {"cifar10": 10, "cifar100": 100, "imagenette": 10}
PUBLISHED_ROWS: tuple[tuple[str, str, Protocol], ...] = tuple(
    (network, data, protocol)
    for data in CLASSES
    for network in ("vgg16", "resnet50", "alexnet")
    for protocol in PROTOCOLS
)


def large(network: str, data: str, protocol: Protocol, profile: str) -> Row:
    """Return a row of the paper's Table 1 at whole width: ``gpu`` in minutes, ``paper`` in days.

    The rates of ``paper`` are the later revision's; the first version does not give its own.
    """
    row = cpu(network, protocol)
    epochs = {"gpu": (30, 30, 10), "paper": (120, 120, 10)}[profile]
    size = 224 if data == "imagenette" else 32
    trainings: dict[str, Any] = {}
    for name, n in zip(("standard", "robust", "tuning"), epochs, strict=True):
        training = replace(getattr(row.study, name), epochs=n)
        trainings[name] = _as_published(training) if profile == "paper" else training
    study = replace(
        row.study,
        architecture=Architecture(name=network, classes=CLASSES[data], size=size),
        data=Part(name=data, size=size if size > 32 else None),
        n_b=N_B[network][-1:] if network != "vgg16" else N_B[network],
        **trainings,
        trials=10 if profile == "paper" else 1,
    )
    return replace(row, study=study, autoattack=1000)


def _as_published(training: Training) -> Training:
    attack = PGD(epsilon=8 / 255, step_size=2 / 255, steps=10)
    method = Online(attack=attack) if isinstance(training.method, Online) else training.method
    return replace(
        training, method=method, learning_rate=0.01, schedule="step", batch=512, precision="float32"
    )


def figure_2(profile: str) -> tuple[Row, ...]:
    """Return rows with many cuts, for rho_j and accuracy by the size of f_b (Figure 2)."""
    make = {"smoke": smoke, "cpu": cpu}[profile]
    sizes = (2, 4, 6) if profile == "smoke" else (2, 4, 6, 8, 10, 12, 14)
    rows = (make(QUICK[profile], protocol) for protocol in ("online", "static"))
    changes: dict[str, Any] = {"autoattack": None, "controls": ("standard",), "label": "many cuts"}
    changes["images"] = 200 if profile == "smoke" else 500
    return tuple(replace(row, study=replace(row.study, n_b=sizes), **changes) for row in rows)


def sweep(profile: str) -> tuple[Row, ...]:
    """Return rows that differ in the attack and its radius, f_b as large as in Table 1."""
    row, radii = {"smoke": (smoke, (8, 16)), "cpu": (cpu, (4, 8, 12))}[profile]
    base = row(QUICK[profile], "static")
    online = tuple(_other_radius(row(QUICK[profile], "online"), n) for n in radii)
    static = tuple(_other_radius(base, n) for n in radii)
    whole = base.whitebox.epsilon
    single = PGD(epsilon=whole, step_size=whole, steps=1, random_start=False)
    return (*online, _varied(base, f"FGSM {255 * whole:.0f}", attack=single), *static)


def _other_radius(row: Row, n: int) -> Row:
    study, radius = row.study, n / 255
    changes: dict[str, Any] = {
        "attack": replace(study.attack, epsilon=radius, step_size=radius / 4)
    }
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
    row = {"smoke": smoke, "cpu": cpu}[profile](QUICK[profile], "online")
    radius = row.whitebox.epsilon
    steps = {"smoke": 3, "cpu": 10}[profile]
    inner = PGD(epsilon=radius, step_size=radius / 4, steps=steps)
    carried = replace(inner, step_size=radius / 2, steps=3, random_start=False)
    chosen: dict[str, Method] = {
        "N-FGSM": Online(attack=NFGSM(epsilon=radius)),
        "PGD": Online(attack=inner),
        "TRADES": Trades(attack=TRADES(epsilon=radius, step_size=radius / 4, steps=steps)),
        "ATTA": Atta(attack=carried),
        "ATTA+TRADES": AttaTrades(attack=TRADES(epsilon=radius, step_size=radius / 2, steps=3)),
    }
    return tuple(
        _varied(row, name, tuning=replace(row.study.tuning, method=method, augment=False))
        for name, method in chosen.items()
    )


def connectivity(profile: str) -> tuple[Linear, ...]:
    """Return the rows of Table S1, f_b of 1, 5 and 9 layers of ResNet-18."""
    brief = profile == "smoke"
    row = smoke("alexnet", "online") if brief else cpu("resnet18", "online")
    images, solving = (100, 200) if brief else (500, 2000)
    pgd = PGD(epsilon=row.whitebox.epsilon, step_size=row.whitebox.step_size, steps=10)
    single = PGD(epsilon=pgd.epsilon, step_size=pgd.epsilon, steps=1, random_start=False)
    study = replace(row.study, n_b=(1, 3, 5) if brief else (1, 5, 9))
    attacks = (("FGSM", single), ("PGD", pgd))
    return (Linear(study=study, attacks=attacks, images=images, solving=solving),)


def revision(profile: str) -> tuple[Attacked, ...]:
    """Return the rows of Tables S2 to S4: none, FGSM and PGD on the same networks."""
    smokes = [smoke("alexnet", "online")]
    rows = smokes if profile == "smoke" else [cpu(name, "online") for name in ("vgg16", "resnet18")]
    found = []
    for row in rows:
        attacks = (("FGSM", FGSM(epsilon=row.whitebox.epsilon)), ("PGD", row.whitebox))
        found.append(Attacked(study=row.study, attacks=attacks, images=max(row.images, 250)))
    return tuple(found)


def audits(profile: str) -> tuple[Audited, ...]:
    """Return the rows whose assumptions are audited: those of Table 1, first seeds."""
    if profile == "smoke":
        search = Search(epsilon=16 / 255, steps=3, restarts=1)
        few = {"fitting": 300, "images": 250, "searched": 30}
        return (Audited(row=smoke("alexnet", "online"), search=search, **few),)
    search = Search(epsilon=8 / 255, steps=5, restarts=1)
    networks = ("vgg16", "alexnet", "resnet18")
    rows = (cpu(network, protocol) for network in networks for protocol in PROTOCOLS[::-1])
    return tuple(Audited(row=row, search=search) for row in rows)
