"""The answer on the front page: sentences computed from records, or an error where none fits.

Told of the largest networks that are recorded; other scales of the comparison stand beside them.
Each sentence says no more than the verdicts on the claims behind it, which are marked in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from book._ext.shape import ANSWER
from semirobust.results.documents import document, value_at
from semirobust.results.frames import frame
from semirobust.results.profiles import PROFILES
from semirobust.results.published import NAMES

LAYERS = 16  # of VGG16, 12 of them retrained
RUN = {"model": "vgg16", "data": "cifar10"}
PLACES: Mapping[str, dict[str, Any]] = {
    "robust": {"network": "robust"},
    "spliced": {"network": "spliced", "n_b": 12},
    "tuned": {"network": "tuned", "n_b": 12, "front": "robust"},
    "behind": {"network": "tuned", "n_b": 12, "front": "standard"},
}
LABELS = {"tuned": "retrained", "behind": "behind a standard front"}
CLAIMS = {  # what the sentences rest on
    "gone": "table-1-vgg16-cifar10-spliced",
    "all of it": "fewer-than-half",
    "what matters": "uses-the-robust-half",
    "theorem": "theorem-2",
    "a2": "a2-equivalent",
    "shuffled": "deeper-better-flow",
    "stored": "robust-at-all",
}
CLEAN = "f_b on clean images"  # label of the rows in which the back is retrained without attack
CARRIED = {"frozen": "front", "origin": "robust", "training": "clean"}  # the same, in carriers
MUCH, LITTLE = 0.05, 0.03  # points of accuracy that are a difference, and that are none
WIDTHS = {None: "full width", 0.25: "a quarter of the width", 0.5: "half the width"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


@dataclass(frozen=True)
class Scale:
    """White-box accuracy of the four networks at one scale, with how many runs are behind it."""

    profile: str
    accuracy: Mapping[str, float]
    seeds: int
    words: str


def answer(root: Path, verdicts: Mapping[str, str] | None = None) -> str:
    """Return the answer as a box of the front page."""
    return ANSWER.format(words(root, verdicts))


def readme(root: Path, verdicts: Mapping[str, str]) -> str:
    """Return the README with today's answer, and today's caption of its figure."""
    figure = (root / "book" / "assets" / "table-1-vgg16.svg").read_text(encoding="utf-8")
    caption = figure.partition("<title>")[2].partition("</title>")[0]
    today = {"answer": words(root, verdicts), "caption": caption}
    text = (root / "README.md").read_text(encoding="utf-8")
    for name, told in today.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        text = f"{before}{mark}{told}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def words(root: Path, verdicts: Mapping[str, str] | None = None) -> str:
    """Return the answer in about a hundred words; ``verdicts`` are those on the claims, by name.

    Raises:
        ValueError: The records say something for which there is no sentence.
    """
    known = scales(root)
    if not known:
        raise ValueError("the front page needs a recorded row: semirobust run table-1 --only vgg16")
    largest, *others = known
    said = dict(verdicts or {})
    back = said.get(CLAIMS["all of it"], "holds") == "holds"
    told = {
        spliced(largest): ("gone",),
        retrained(largest, root, back=back): ("all of it",),
        behind_standard(largest): ("what matters",),
        of_the_theory(root): ("theorem", "a2", "shuffled"),
        stored(root): ("stored",),
    }
    sentences = [
        words + rests_on({CLAIMS[name]: said.get(CLAIMS[name]) for name in names}) if words else ""
        for words, names in told.items()
    ]
    runs = [f"{largest.words}, {seeds(largest.seeds)}"]
    runs += [
        f"at {one.words}, {seeds(one.seeds)}: "
        + ", ".join(f"{LABELS.get(name, name)} {one.accuracy[name]:.1%}" for name in PLACES)
        for one in others
    ]
    text = " ".join(filter(None, sentences))
    return f"{text}\n\n*VGG16 on CIFAR-10, {attacked(root)}: {'; '.join(runs)}.*"


def scales(root: Path) -> list[Scale]:
    """Return the recorded scales of the comparison, the largest first."""
    networks = selected(root, "online", "networks", setting=None)
    known = []
    for profile in reversed(PROFILES[1:]):
        part = networks[networks["profile"] == profile]
        means = {} if part.empty else {name: mean(part, place) for name, place in PLACES.items()}
        if means and not any(pd.isna(value) for value in means.values()):
            words = scale_of(part["file"].iloc[0])
            known.append(Scale(profile, means, part["file"].nunique(), words))
    return known


def selected(root: Path, protocol: str, table: str, *, setting: str | None) -> pd.DataFrame:
    """Return a table of Table 1's rows of VGG16 on CIFAR-10, with a label or without."""
    rows = frame("table-1", table, root=root / "results")
    wanted = {**RUN, "protocol": protocol}
    if rows.empty:
        return rows
    rows = those(rows, wanted)
    own = rows.get("setting", pd.Series(index=rows.index, dtype=object))
    return rows[own.isna() if setting is None else own == setting]


def mean(rows: pd.DataFrame, place: Mapping[str, Any]) -> float:
    """Return the mean white-box accuracy of the rows of one network."""
    return float(those(rows, place)["whitebox"].mean())


def those(rows: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that hold all the values."""
    return rows[(rows[[*wanted]] == pd.Series(wanted, dtype=object)).all(axis=1)]


def scale_of(file: Path) -> str:
    settings = document(file)["settings"]
    images = value_at(settings, "study.data.train")
    width = WIDTHS[value_at(settings, "study.architecture.width")]
    return f"{width}, {f'{images:,} training images' if images else 'all training images'}"


def attacked(root: Path) -> str:
    """Return the attack of all recorded rows, by which every network is attacked itself."""
    rows = selected(root, "online", "networks", setting=None)
    attacks = [document(file)["settings"]["whitebox"] for file in rows["file"].unique()]
    if any(one != attacks[0] for one in attacks):
        raise ValueError(f"no sentence for {len(attacks)} rows that are attacked in several ways")
    radius = round(255 * attacks[0]["epsilon"])
    return f"each network attacked itself by PGD with {attacks[0]['steps']} steps at {radius}/255"


def seeds(count: int) -> str:
    return f"{NUMBERS[count]} seed{'s' * (count != 1)}"


def spliced(scale: Scale) -> str:
    """Return what is left behind a robust front without retraining."""
    robust, left = scale.accuracy["robust"], scale.accuracy["spliced"]
    if robust - left < MUCH:
        raise ValueError(f"no sentence for spliced {left:.3f} beside robust {robust:.3f}")
    return (
        "**Not by itself, and not for the reason given.** Put an ordinary back behind a robust "
        f"front, here the last {PLACES['spliced']['n_b']} of {LAYERS} layers, and "
        f"{'the' if left < robust / 4 else 'much of the'} robustness is gone: white-box accuracy "
        f"falls from {robust:.1%} to {left:.1%}."
    )


def rests_on(claims: Mapping[str, str | None]) -> str:
    """Return the mark that names the claims behind a sentence, with their verdicts if known."""
    known = [f"{name}: {verdict}" for name, verdict in claims.items() if verdict]
    return f" <!-- rests on: {'; '.join(known)} -->" if known else ""


def retrained(scale: Scale, root: Path, *, back: bool = True) -> str:
    """Return what retraining the back brings, against the attack and on clean images.

    ``back`` says whether it is decided that all of the robustness comes back.
    """
    robust, _, tuned, behind = (scale.accuracy[name] for name in PLACES)
    if tuned < robust - LITTLE or behind > tuned - MUCH:
        raise ValueError(f"no sentence for tuned {tuned:.3f} and {behind:.3f} behind standard")
    text = (
        "Retrain that back against the attack, the front frozen, and "
        f"{'all of it' if back else 'it'} returns: {tuned:.1%}"
        f"{'' if back else ', though so few runs cannot tell whether all of it does'}."
    )
    rows = selected(root, "online", "networks", setting=CLEAN)
    rows = rows[rows["profile"] == scale.profile]
    if not rows.empty:
        clean = mean(rows, PLACES["tuned"])
        standard = mean(rows, {"network": "standard"})
        share = (clean - standard) / (robust - standard)
        known = [seeds(rows["file"].nunique()), *narrower(scale, root)]
        text += (
            f" Retrained on clean images the back reaches {clean:.1%}, {share:.0%} of the "
            f"robustness ({'; '.join(known)})."
        )
    return text


def narrower(scale: Scale, root: Path) -> list[str]:
    """Return that share in narrower networks, as the chapter on what carries robustness has it."""
    rows = frame("carriers", "networks", root=root / "results")
    if rows.empty:
        return []
    asked = {**RUN, **CARRIED, "n_b": PLACES["tuned"]["n_b"]}
    rows = those(rows[rows["profile"] != scale.profile], asked).drop_duplicates("seed")
    if rows.empty:
        return []
    width = scale_of(rows["file"].iloc[0]).partition(",")[0]
    return [f"{rows['retention'].mean():.0%} at {width}"]


def behind_standard(scale: Scale) -> str:
    """Return what the same retraining brings behind a front that was never attacked."""
    return (
        "Behind a front that was never attacked the same training gives "
        f"{scale.accuracy['behind']:.1%}: the robust front is what matters."
    )


def of_the_theory(root: Path) -> str:
    """Return what the theorem has to do with it, and how much of rho shuffled pairs have."""
    rho = selected(root, "online", "rho", setting=None)
    tuned = rho[(rho["network"] == "tuned") & (rho["preset"] == "paper")]
    share = tuned["null_mean"].sum() / tuned["value"].sum()
    if share < 1 / 2:
        raise ValueError(f"no sentence for a null of {share:.0%} of rho")
    return (
        "But the theorem does not explain it: its second assumption can be met exactly where its "
        f"conclusion already holds. And of its dependence $\\rho$ {share:.0%} is left when the "
        "activations of two layers are paired at random."
    )


def stored(root: Path) -> str:
    """Return what networks are worth that were made robust to stored examples."""
    rows = selected(root, "static", "networks", setting=None)
    tuned = rows[(rows["network"] == "tuned") & (rows["front"] == "robust")]
    if tuned.empty:
        return ""
    if tuned["whitebox"].max() > LITTLE:
        raise ValueError(
            f"no sentence for white-box {tuned['whitebox'].max():.3f}, stored examples"
        )
    names = [NAMES[RUN[name]] for name in ("model", "data")]
    return (
        "Accuracies as high as the paper's Table 1 appear only against attacks made for *another* "
        f"network: attacked themselves, those networks keep {tuned['whitebox'].mean():.1%} "
        f"({' on '.join(names)})."
    )


def citation(root: Path) -> str:
    """Return what to cite, as BibTeX, with the version and the day of the newest record."""
    about = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    address = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    names = " and ".join(f"{{{one['name']}}}" for one in about["authors"])
    fields = {
        "title": f"{{{about['title']}}}",
        "author": names,
        "year": str(about["date-released"])[:4],
    }
    fields |= {"version": about["version"], "url": address["url"], "license": about["license"]}
    lines = "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items())
    return (
        f"Version {about['version']}, {about['date-released']:%-d %B %Y}"
        '<span id="pdf"></span>. Cite the paper {cite:p}`half2022` and this book:\n\n'
        f"```bibtex\n@software{{semirobust,\n{lines}\n}}\n```"
    )
