"""Robust accuracy: known answers, what costs what, and the checks that catch a false defence."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from semirobust.attacks.adaptive import FeaturePGD, FromElsewhere, adaptive_attacks
from semirobust.attacks.apgd import APGD
from semirobust.attacks.autoattack import AutoAttack, FastEnsemble
from semirobust.attacks.ball import fooled
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.gradient import FGSM, NFGSM, PGD
from semirobust.attacks.square import Square
from semirobust.data import Samples, load
from semirobust.evaluation.canaries import plausible
from semirobust.evaluation.fake_defences import FAKE_DEFENCES, NoisyInput
from semirobust.evaluation.report import robust_accuracy
from semirobust.evaluation.scrutiny import (
    Evaluation,
    evaluate,
    falls_with_radius,
    formatted,
    stronger_than_transfer,
)
from semirobust.evaluation.stand_in import stand_in, with_pooling_first

EPSILON = 16 / 255


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(epsilon: float, epochs: int = 4) -> nn.Sequential:
    """A small network trained on digits, against FGSM where a radius is given."""
    samples = load("digits").train
    x, y, generator = samples.x, samples.y, draws()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
            nn.Sequential(nn.Flatten(), nn.Linear(256, 10)),
        )
    momentum = [torch.zeros_like(w) for w in network.parameters()]
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=generator), 50):
            start = x[rows]
            if epsilon:
                attack = NFGSM(epsilon=epsilon)
                start = attack(network.train(), start, y[rows], generator=generator)
            loss = nn.functional.cross_entropy(network.train()(start), y[rows])
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for w, m, g in zip(network.parameters(), momentum, gradients, strict=True):
                    w.sub_(0.05 * m.mul_(0.9).add_(g))
    return network.eval()


@pytest.fixture(scope="module")
def standard() -> nn.Sequential:
    return trained(0.0)


@pytest.fixture(scope="module")
def robust() -> nn.Sequential:
    return trained(EPSILON, epochs=8)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return load("digits").test


def batch(samples: Samples, n: int = 100) -> tuple[Tensor, Tensor]:
    return samples.x[:n], samples.y[:n]


ATTACK = PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=10)


def test_the_worst_case_is_the_union_over_the_attacks(robust, samples):
    x, y = batch(samples)
    attacks = {
        "weak": FGSM(epsilon=EPSILON),
        "strong": replace(ATTACK, random_start=False),  # drawn for those that it is given
        "other": Square(epsilon=EPSILON, queries=50),
    }
    report = robust_accuracy(robust, x, y, attacks)
    apart = [robust_accuracy(robust, x, y, attack).standing for attack in attacks.values()]
    assert torch.all(report.standing <= torch.stack(apart).all(dim=0))
    broken = torch.stack(list(report.broken.values()))
    assert torch.equal(report.standing, report.clean & ~broken.any(dim=0))
    assert broken.sum(dim=0).max() <= 1  # whoever is broken is given to nobody else
    assert torch.equal(report.given["other"], report.clean & ~broken[:2].any(dim=0))
    assert 0.1 < report.accuracy < 0.98


def test_the_flags_can_be_had_again_from_the_stored_points(robust, samples, tmp_path):
    x, y = batch(samples)
    report = robust_accuracy(robust, x, y, APGD(epsilon=EPSILON, steps=10))
    torch.save(report.x_adv, tmp_path / "points.pt")
    again = torch.load(tmp_path / "points.pt", weights_only=True)
    assert (again - x).abs().max() <= EPSILON + 1e-6
    assert torch.equal(report.standing, ~fooled(robust, again, y))
    assert report.check() == []


def test_radius_zero_gives_the_clean_accuracy(robust, samples):
    x, y = batch(samples)
    report = robust_accuracy(
        robust, x, y, {"pgd": PGD(epsilon=0.0), "apgd": APGD(epsilon=0.0, steps=3)}
    )
    assert torch.equal(report.standing, robust(x).argmax(1) == y)
    assert report.accuracy == report.clean_accuracy


def test_wrong_from_the_start_counts_as_broken_and_costs_one_pass(robust, samples):
    x, y = batch(samples)
    report = robust_accuracy(robust, x, (robust(x).argmax(1) + 1) % 10, AutoAttack(epsilon=EPSILON))
    assert report.accuracy == 0
    assert report.forward == report.backward == 0
    with pytest.raises(ValueError, match="need at least 1 image to evaluate"):
        robust_accuracy(robust, x[:0], y[:0], ATTACK)
    with pytest.raises(ValueError, match="no attack was given"):
        robust_accuracy(robust, x, y, {})


def test_passes_are_counted_sample_by_sample(robust, samples):
    x, y = batch(samples, 30)
    report = robust_accuracy(robust, x, y, ATTACK, batch=7)
    right = int(report.clean.sum())
    assert report.backward == 10 * right
    assert report.forward == 11 * right  # one more to see who was fooled


def test_an_easily_fooled_network_costs_a_fraction(standard, samples):
    x, y = batch(samples)
    slow = PGD(epsilon=0.2, step_size=0.05, steps=40)
    fast = PGD(epsilon=0.2, step_size=0.05, steps=40, stop_when_fooled=True)
    long, short = (robust_accuracy(standard, x, y, attack) for attack in (slow, fast))
    assert short.accuracy <= long.accuracy
    assert 5 * (short.forward + short.backward) < long.forward + long.backward


@pytest.mark.parametrize("size", [1, 7])
def test_flags_do_not_depend_on_the_batch(robust, samples, size):
    x, y = batch(samples, 40)
    attacks = {"pgd": ATTACK, "fast": FastEnsemble(epsilon=EPSILON, steps=8, targeted_steps=4)}
    network = torch.nn.Sequential(*robust).double()
    whole = robust_accuracy(network, x.double(), y, attacks)
    parts = robust_accuracy(network, x.double(), y, attacks, batch=size)
    robust.float()
    assert torch.equal(whole.standing, parts.standing)
    assert all(torch.equal(whole.broken[name], parts.broken[name]) for name in whole.broken)


def test_autoattack_is_at_least_as_strong_as_any_of_its_kind(robust, samples):
    x, y = batch(samples, 24)
    ensemble = FastEnsemble(epsilon=EPSILON)
    worst = robust_accuracy(robust, x, y, ensemble).standing
    for attack in (FGSM(epsilon=EPSILON), ATTACK, Square(epsilon=EPSILON, queries=200)):
        assert torch.all(worst <= robust_accuracy(robust, x, y, attack).standing)


def test_transfer_is_labelled_static_and_weaker(standard, robust, samples):
    x, y = batch(samples)
    static = robust_accuracy(robust, x, y, ATTACK, surrogate=standard)
    white = robust_accuracy(robust, x, y, ATTACK)
    assert (static.protocol, white.protocol) == ("static", "whitebox")
    assert static.accuracy > white.accuracy
    canary = stronger_than_transfer(robust, standard, x, y, white, EPSILON)
    assert canary.passed
    assert canary.value == pytest.approx(static.accuracy, abs=0.03)


def test_training_mode_outside_changes_nothing_inside(robust, samples):
    x, y = batch(samples, 30)
    inside = robust_accuracy(robust, x, y, ATTACK)
    robust.train()[0].eval()
    outside = robust_accuracy(robust, x, y, ATTACK)
    modes = [module.training for module in robust]
    robust.eval()
    assert modes == [False, True, True]
    assert torch.equal(inside.standing, outside.standing)
    assert outside.check() == []


def test_what_lies_outside_the_ball_is_reported(robust, samples):
    x, y = batch(samples, 20)
    report = robust_accuracy(robust, x, y, NFGSM(epsilon=EPSILON))
    assert [canary.name for canary in report.check()] == ["budget"]


class Meddler(nn.Module):
    """A network whose running mean follows what it is shown, in every mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = 0.9 * self.seen + 0.1 * x.detach().mean()
        return self.network(x)


def test_a_network_that_changes_while_it_is_attacked_is_reported(robust, samples):
    x, y = batch(samples, 20)
    failed = robust_accuracy(Meddler(robust).eval(), x, y, ATTACK).check()
    assert [(canary.name, canary.value) for canary in failed] == [
        ("left as found", "weights and statistics")
    ]


def test_probabilities_in_the_place_of_logits_are_reported(robust, samples):
    x, y = batch(samples, 20)
    report = robust_accuracy(nn.Sequential(robust, nn.Softmax(1)), x, y, ATTACK)
    assert "logits" in [canary.name for canary in report.check()]


def test_logit_shift_and_log_softmax_change_no_flag(robust, samples):
    x, y = batch(samples, 40)
    attacks = {"pgd": ATTACK, "cw": CarliniWagner(steps=10, searches=2, epsilon=1.0)}
    network = torch.nn.Sequential(*robust).double()
    plain = robust_accuracy(network, x.double(), y, attacks)
    headed = robust_accuracy(lambda z: network(z).log_softmax(1), x.double(), y, attacks)
    shifted = robust_accuracy(lambda z: network(z) + 5, x.double(), y, attacks)
    robust.float()
    assert torch.equal(plain.standing, headed.standing)
    assert torch.equal(plain.standing, shifted.standing)


EXPECTED = {
    "logits x 1000": {"gradients", "radius"},
    "input rounded to 16 levels": {"gradients", "radius", "black box", "transfer"},
    "input noise": {"deterministic", "seeds"},
}


@pytest.mark.parametrize("name", FAKE_DEFENCES)
def test_a_fake_defence_is_flagged(name, standard, samples):
    fake = FAKE_DEFENCES[name](standard).eval()
    settings = Evaluation(attack="pgd", epsilon=16, n=40, probes=12)
    report = evaluate(fake, samples, settings, surrogate=standard)
    failed = {canary.name for canary in report.check()}
    assert EXPECTED[name] <= failed
    assert all(canary.reason in formatted(report) for canary in report.check())


@pytest.mark.parametrize("stand_in", [False, True])
def test_an_honest_network_is_not_flagged(robust, standard, samples, stand_in):
    settings = Evaluation(attack="fast", epsilon=16, n=40, probes=12, stand_in=stand_in)
    report = evaluate(robust, samples, settings, surrogate=standard)
    assert report.check() == []
    assert 0.1 < report.accuracy < report.clean_accuracy
    names = {canary.name for canary in report.canaries}
    assert names == {
        "budget", "recomputed", "left as found", "gradients", "deterministic", "logits",
        "radius", "steps", "black box", "seeds", "batch", "transfer",
    } | ({"stand-in", "hidden"} if stand_in else set())  # fmt: skip


def test_a_constant_network_is_right_on_one_class_at_no_radius_or_every(samples):
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.eye(10)[3].expand(len(x), 10) + 0 * x.flatten(1).sum(1, keepdim=True)

    x, y = batch(samples)
    report = robust_accuracy(Constant(), x, y, ATTACK)
    assert torch.equal(report.standing, y == 3)
    assert "gradients" in [canary.name for canary in report.check()]


def test_a_planted_weakness_is_found(samples):
    class Planted(nn.Module):
        """Right by a fixed margin everywhere, but for a slope towards the first pixel's change."""

        def forward(self, x: Tensor) -> Tensor:
            first = x[:, 0, 0, 0]
            return torch.stack([torch.ones_like(first), 0.5 + 20 * first], dim=1)

    x = torch.zeros(5, 3, 4, 4)
    report = robust_accuracy(Planted(), x, torch.zeros(5, dtype=torch.long), ATTACK)
    assert report.clean_accuracy == 1
    assert report.accuracy == 0


def test_accuracy_that_rises_with_the_radius_is_reported(standard, samples):
    x, y = batch(samples, 30)
    assert falls_with_radius(standard, x, y).passed

    class Shy(nn.Module):
        """Cuts the gradient off where an image has left the eight bits it was stored in."""

        def forward(self, z: Tensor) -> Tensor:
            stored = ((z - x[:1]).abs().max() < 1) & (z * 255 == (z * 255).round()).all()
            return standard(z) if stored else standard(z.detach()) + 0 * z.sum()

    assert not falls_with_radius(Shy().eval(), x, y).passed


def test_what_is_better_than_the_best_published_is_not_believed():
    assert plausible(0.55, "resnet18").passed
    assert not plausible(0.60, "resnet18").passed
    assert not plausible(0.52, "resnet50").passed
    assert plausible(0.70).passed
    assert not plausible(0.79).passed


def test_a_record_holds_what_a_reader_needs_and_survives_json(robust, samples):
    x, y = batch(samples, 50)
    report = robust_accuracy(robust, x, y, {"pgd": ATTACK}, seed=3)
    record = json.loads(json.dumps(report.as_record(), allow_nan=False))
    assert (record["norm"], record["epsilon_255"], record["seed"], record["n"]) == (
        "inf",
        16,
        3,
        50,
    )
    assert record["protocol"] == "whitebox"
    assert record["attacks"] == {"pgd": repr(ATTACK)}
    assert record["standing"].count("1") == round(50 * record["accuracy"])
    assert record["forward_passes"] > record["backward_passes"] > 0
    p = record["accuracy"]
    assert record["two_standard_errors"] == pytest.approx(2 * (p * (1 - p) / 50) ** 0.5)
    assert {canary["name"] for canary in record["canaries"]} >= {"budget", "gradients"}


def test_adaptive_attacks_reach_through_the_cut_and_from_the_parts(standard, robust, samples):
    from semirobust.layers import splice

    spliced = splice(robust, standard, 1).eval()
    x, y = batch(samples, 60)
    attacks = adaptive_attacks(spliced, 1, EPSILON, {"f": standard, "f*": robust})
    assert list(attacks) == ["end to end", "features at the cut", "from f", "from f*"]
    report = robust_accuracy(spliced, x, y, attacks)
    assert report.check() == []
    assert report.accuracy <= robust_accuracy(spliced, x, y, ATTACK).accuracy
    for name in ("end to end", "from f", "from f*"):
        alone = robust_accuracy(spliced, x, y, attacks[name])
        assert alone.accuracy < 0.9 * alone.clean_accuracy
    assert all("Conv2d" not in text for text in report.attacks.values())


def test_what_only_an_attack_that_knows_the_parts_breaks_is_reported(standard, robust, samples):
    class Shy(nn.Module):
        """Shows the gradient of a constant in the place of its own."""

        def forward(self, z: Tensor) -> Tensor:
            return robust(z.detach()) + 0 * z.flatten(1).sum(dim=1, keepdim=True)

    settings = Evaluation(attack="pgd", epsilon=16, n=60, probes=6, queries=20)
    adaptive = {"from f*": FromElsewhere(source=robust, attack=ATTACK)}
    failed = {
        canary.name: canary
        for canary in evaluate(Shy().eval(), samples, settings, adaptive=adaptive).check()
    }
    assert failed["adaptive, from f*"].value > 0.03
    honest = evaluate(robust, samples, settings, adaptive=adaptive)
    assert "adaptive, from f*" in {canary.name for canary in honest.canaries}
    assert "adaptive, from f*" not in {canary.name for canary in honest.check()}


def test_features_move_further_than_under_noise(robust, samples):
    x, y = batch(samples, 20)
    front = robust[:2]
    attack = FeaturePGD(front=front, epsilon=0.01, step_size=0.0025)
    x_adv = attack(robust, x, y, generator=draws())
    noise = x + 0.01 * torch.randn(x.shape, generator=draws()).sign()
    moved, beside = (
        (front(z) - front(x)).flatten(1).norm(dim=1) for z in (x_adv, noise.clamp(0, 1))
    )
    stood = ~fooled(robust, x_adv, y)  # whoever is fooled on the way rests there
    assert stood.sum() > 10
    assert torch.all(moved[stood] > 2 * beside[stood])


def test_a_search_from_elsewhere_stays_in_the_ball(standard, robust, samples):
    x, y = batch(samples, 10)
    x_adv = FromElsewhere(source=standard, attack=ATTACK)(robust, x, y, generator=draws())
    assert (x_adv - x).abs().max() <= EPSILON + 1e-6


def test_the_noise_of_a_fake_defence_is_its_own(standard, samples):
    fake, x = NoisyInput(standard), samples.x[:3]
    assert not torch.equal(fake(x), fake(x))
    assert torch.equal(NoisyInput(standard)(x), NoisyInput(standard)(x))


def test_a_stand_in_only_shortens_the_search(robust, samples):
    x, y = batch(samples, 60)
    attack = FastEnsemble(epsilon=EPSILON, steps=20, targeted_steps=10)
    exact = robust_accuracy(robust, x, y, attack)
    quick = robust_accuracy(robust, x, y, attack, stand_in=stand_in(robust, x))
    assert torch.equal(quick.standing, ~fooled(robust, quick.x_adv, y) & quick.clean)
    assert (quick.standing != exact.standing).sum() <= 1
    assert quick.protocol == "whitebox"
    closing = 21 * int(quick.given["on the network itself"].sum())
    assert quick.forward - closing == pytest.approx(exact.forward, rel=0.2)


def test_a_stand_in_with_the_logits_but_not_the_gradients_hides_nothing(robust, samples):
    x, y = batch(samples)
    attack = FastEnsemble(epsilon=EPSILON, steps=20, targeted_steps=10)
    exact = robust_accuracy(robust, x, y, attack)
    mute = lambda z: robust(z.detach()) + 0 * z.flatten(1).sum(dim=1, keepdim=True)  # noqa: E731
    turned = lambda z: robust(2 * z.detach() - z)  # noqa: E731  the gradient's sign is wrong
    for blind in (mute, turned):
        report = robust_accuracy(robust, x, y, attack, stand_in=blind)
        found = {name: int(flags.sum()) for name, flags in report.broken.items()}
        assert found.pop("on the network itself") > 5 * sum(found.values())
        assert abs(report.accuracy - exact.accuracy) <= 0.02
        assert [canary.name for canary in report.check()] == ["stand-in", "hidden"]
    honest = robust_accuracy(robust, x, y, attack, stand_in=stand_in(robust, x))
    cosine = next(c.value for c in honest.canaries if c.name == "stand-in")
    assert cosine > 0.97
    assert honest.check() == []


def test_what_only_the_stand_in_takes_for_fooled_is_searched_for_again(robust, samples):
    x, y = batch(samples, 60)
    attack = FastEnsemble(epsilon=EPSILON, steps=20, targeted_steps=10)
    exact = robust_accuracy(robust, x, y, attack)
    lie = lambda z: robust(z).roll(1, dims=1)  # noqa: E731
    assert torch.equal(robust_accuracy(robust, x, y, attack, stand_in=lie).standing, exact.standing)
    with pytest.raises(ValueError, match="leave out stand_in"):
        robust_accuracy(robust, x, y, attack, stand_in=lie, surrogate=robust)


def test_a_stand_in_gives_nearly_the_logits_whether_or_not_a_norm_can_be_folded(robust, samples):
    x = samples.x[:20]

    class NormFirst(nn.Module):
        """Lists a convolution and a norm one after the other, and applies them the other way."""

        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.norm.running_mean += 0.5
            self.norm.running_var *= 0.1

        def forward(self, z: Tensor) -> Tensor:
            return self.convolution(self.norm(z)).flatten(1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = NormFirst().eval()
    for network in (robust, other):
        near = stand_in(network, x)(x)
        assert near.dtype == torch.float32
        assert (near - network(x)).abs().mean() < 0.02 * network(x).std()


def test_pooling_moves_before_the_relu_and_changes_nothing():
    pooled = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    x = torch.randn(2, 3, 8, 8, generator=draws())
    faster = with_pooling_first(deepcopy(pooled))
    assert [type(part).__name__ for part in faster[:2]] == ["MaxPool2d", "ReLU"]
    assert torch.equal(faster(x), pooled(x))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "epsilon"), [("standard", 4), ("robust", 12)])
def test_no_flag_is_more_optimistic_than_the_library_s(kind, epsilon, samples, request):
    from published_attacks import Published, published

    network, (x, y), radius = request.getfixturevalue(kind), batch(samples, 12), epsilon / 255
    ours = robust_accuracy(network, x, y, AutoAttack(epsilon=radius))
    steps = {"eps": radius, "steps": 100}
    hundred = {
        "ce": Published(kind="APGD", settings=steps),
        "t": Published(kind="APGDT", settings=steps),
        "fab": Published(kind="FAB", settings=steps | {"multi_targeted": True}),
    }
    for theirs in (published("autoattack", radius), hundred):
        assert torch.all(ours.standing <= robust_accuracy(network, x, y, theirs).standing)
    again = robust_accuracy(network, x, y, AutoAttack(epsilon=radius), seed=1)
    assert torch.equal(ours.standing, again.standing)


@pytest.mark.parametrize("y", [torch.zeros(2), torch.zeros(2, 10, dtype=torch.long)])
def test_labels_of_another_kind_are_refused(y):
    with pytest.raises(ValueError, match="one class number an image"):
        robust_accuracy(
            torch.nn.Flatten(),
            torch.rand(2, 1, 2, 5, generator=torch.Generator()),
            y,
            PGD(epsilon=0.1, step_size=0.1, steps=1),
        )
