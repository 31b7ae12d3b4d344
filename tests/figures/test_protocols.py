"""The figure of the front page: means and ranges, the paper beside the stored examples."""

import errno
import json
import os
import re

import pandas as pd
import pytest
import recorded

from book._ext import pictures
from semirobust import cli
from semirobust.figures import protocols
from semirobust.figures.alt_text import CSV
from semirobust.figures.protocols import plot_protocols

NETWORKS = pd.DataFrame(
    [
        {"network": name, "front": front, "n_b": n_b, "protocol": protocol, "seed": seed}
        | {"whitebox": 0.25 * (protocol == "online"), "static": 0.5 + 0.1 * seed, "key": str(seed)}
        for protocol in ("online", "static")
        for seed in (0, 1)
        for name, front, n_b in (
            ("standard", None, None),
            ("robust", None, None),
            ("spliced", None, 4),
            ("tuned", "robust", 12),
            ("tuned", "standard", 12),
        )
    ]
)


def test_a_panel_a_protocol_shows_the_deepest_cut_and_who_is_published():
    figure = plot_protocols(NETWORKS, paper={"robust": 0.79, "difference": 0.1})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["trained on stored examples", "trained on fresh examples"]
    names = [[tick.get_text() for tick in ax.get_yticklabels()] for ax in figure.axes]
    assert names == [["robust", "retrained", "standard front"]] * 2
    data, metadata = figure._repr_mimebundle_()
    alt = metadata[CSV]["alt"]
    assert "robust: 0 at white-box, 0.55 at transfer, 0.79 at the paper" in alt
    assert "robust: 0.25 at white-box, 0.55 at transfer;" in alt
    table = data[CSV]
    assert table.count("the paper") == 1
    assert table.count("\n") == 1 + 24 + 1


def test_one_protocol_is_one_panel():
    assert len(plot_protocols(NETWORKS.query("protocol == 'online'")).axes) == 1


def test_the_same_figure_is_the_same_file_in_the_ink_of_the_page(tmp_path):
    texts = []
    for name in ("a.svg", "b.svg"):
        figure = plot_protocols(NETWORKS)
        protocols.save_svg(figure, tmp_path / name, caption="What <it> is", keys=["0", "1"])
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert texts[0].count(protocols.INK) == 1
    assert "<dc:title>What &lt;it&gt; is</dc:title>" in texts[0]
    assert "<rdf:li>1</rdf:li>" in texts[0]
    assert pd.read_csv(tmp_path / "a.csv")["accuracy"].max() == 0.6


def test_a_card_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    card = tmp_path / "new" / "card.png"
    protocols.save_svg(plot_protocols(NETWORKS), card, caption="x", keys=[])
    before = card.read_bytes()
    assert before[:4] == b"\x89PNG"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{card}'"):
        protocols.save_svg(plot_protocols(NETWORKS), card, caption="y", keys=[])
    assert [path.name for path in card.parent.iterdir()] == ["card.png"]
    assert card.read_bytes() == before


def test_each_mark_names_the_runs_that_it_is_the_mean_of(tmp_path):
    figure = plot_protocols(NETWORKS, paper={"robust": 0.79})
    protocols.save_svg(figure, tmp_path / "a.svg", caption="x", keys=[])
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    titles = re.findall("<g><title>(.*?)</title>", text)
    assert "the paper 79.0%, Table 1" in titles
    assert titles.count("white-box 25.0%, run 0, 1") == 3
    assert re.findall("<title>(.*?)</title>", pictures.drawing(text, "x", "")) == titles


def test_the_command_draws_what_is_recorded_or_names_what_is_missing(tmp_path, monkeypatch, capsys):
    study = {
        "architecture": {"name": "vgg16", "width": 0.25},
        "data": {"name": "cifar10", "train": 10000},
        "attack": {"epsilon": 8 / 255},
        "protocol": "online",
    }
    networks = NETWORKS.query("protocol == 'online' and seed == 0")
    rows = json.loads(networks.drop(columns=["protocol", "seed", "key"]).to_json(orient="records"))
    settings = {"kind": "Row", "study": study}
    path = recorded.store(tmp_path, "table-1", settings, {"networks": rows})
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    assert cli.main(["figure", "table-1", "vgg16", str(tmp_path / "a.svg")]) == 0
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert (
        "VGG16, 25% of its width, 10,000 training images of CIFAR-10, ε = 8/255, the back 12"
        in text
    )
    assert "Runs: 1 trained on fresh examples" in text
    assert f"<rdf:li>{path.stem}</rdf:li>" in text
    assert cli.main(["figure", "table-1", "alexnet", str(tmp_path / "b.svg")]) == 1
    assert "run table-1 --profile cpu --only alexnet cifar10" in capsys.readouterr().err
