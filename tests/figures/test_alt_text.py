"""What is stored with a picture: its data, and a text that says what is drawn."""

import io

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from semirobust.figures import alt_text, networks, theory

GAMMA = [
    {"readout": name, "j": j, "gamma": value, "low": value - 0.1, "high": value + 0.1}
    for name, values in {"linear": (0.1, 0.7, 0.4), "rest": (0.5, 0.5, 0.5)}.items()
    for j, value in enumerate(values, start=1)
]


def stored(ax):
    data, metadata = ax.figure._repr_mimebundle_()
    return pd.read_csv(io.StringIO(data[alt_text.CSV])), metadata[alt_text.CSV]["alt"]


def test_a_picture_carries_its_records_whole():
    table, _ = stored(theory.plot_gamma(GAMMA))
    pd.testing.assert_frame_equal(table, pd.DataFrame(GAMMA))


def test_the_text_names_axes_series_and_their_course():
    _, text = stored(theory.plot_gamma(GAMMA))
    assert text.startswith("γ_j against layer j. linear: 0.1 at 1, 0.4 at 3, highest 0.7 at 2;")
    assert text.endswith("rest: 0.5 at 1, 0.5 at 3.")


def test_the_text_follows_the_data():
    other = [{**row, "gamma": -row["gamma"]} for row in GAMMA]
    assert "-0.7 at 2" in stored(theory.plot_gamma(other))[1]


def test_two_panels_make_one_table_and_name_their_titles():
    _, axes = plt.subplots(1, 2)
    theory.plot_gamma(GAMMA, ax=axes[0]).set_title("robust")
    theory.plot_gamma(GAMMA[:3], ax=axes[1]).set_title("standard")
    table, text = stored(axes[0])
    assert table["panel"].tolist() == [1] * 6 + [2] * 3
    assert text.index("robust: ") < text.index("standard: ")


def test_categories_are_told_one_by_one_as_the_mean_over_seeds():
    records = [
        {"network": "robust", "front": None, "clean": 0.5, "static": 0.4, "whitebox": value}
        for value in (0.2, 0.4)
    ]
    text = stored(networks.plot_accuracies(pd.DataFrame(records)))[1]
    assert "whitebox: 0.3 at robust" in text


def test_a_cloud_is_told_by_its_ranges():
    records = pd.DataFrame({"slack": [1.5, 2.0], "rho": [0.1, 0.9]})
    assert (
        "2 points, slack from 1.5 to 2, rho from 0.1 to 0.9"
        in stored(theory.plot_slack(records))[1]
    )


@pytest.mark.filterwarnings("ignore:constrained_layout")  # sixty names fill the figure
def test_a_long_text_ends_at_a_series():
    many = pd.concat(pd.DataFrame(GAMMA).assign(readout=f"readout {k}") for k in range(60))
    text = stored(theory.plot_gamma(many))[1]
    assert len(text) <= alt_text.LONGEST + 40
    assert text.endswith("; and so on, see the data.")


def test_a_series_without_a_value_is_said_to_be_empty():
    assert (
        alt_text.describe_course(pd.DataFrame({"j": [1], "rho": [None]}), "j", "rho") == "nothing"
    )


def test_a_line_by_radius_has_one_series_for_each_network():
    curves = pd.DataFrame({"standard": [1.0, 0.2, 0.0], "robust": [1.0, 0.9, 0.1]}, [0, 8, 64])
    table, text = stored(networks.plot_radius(curves))
    assert len(table) == 6
    assert "standard: 1 at 0, 0 at 64" in text


def test_symbols_are_drawn_as_mathtext_and_read_as_plain_text():
    ax = theory.plot_gamma(GAMMA)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer $j$", r"$\gamma_j$")
    for plain in alt_text.SYMBOLS:
        assert alt_text.as_plain_text(alt_text.as_mathtext(plain)) == plain


def test_marks_tell_how_a_network_was_attacked():
    rows = [{"network": "robust", "front": None, "clean": 0.5, "static": 0.4, "whitebox": 0.2}]
    clean, static, whitebox = networks.plot_accuracies(pd.DataFrame(rows)).get_lines()
    assert (clean.get_marker(), static.get_marker(), whitebox.get_marker()) == ("|", "o", "o")
    assert static.get_markerfacecolor() == "none" != whitebox.get_markerfacecolor()
