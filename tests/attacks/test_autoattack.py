"""APGD, FAB, Square, C&W and AutoAttack where the answer is known, and beside their peer."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from semirobust.attacks import apgd, fab, square, width
from semirobust.attacks.apgd import APGD, TargetedAPGD, checkpoints
from semirobust.attacks.autoattack import AutoAttack, FastEnsemble, Headline
from semirobust.attacks.ball import distance, fooled
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.fab import FAB, to_plane
from semirobust.attacks.gradient import FGSM, PGD, from_name, strong_pgd
from semirobust.attacks.noise import sample_noise
from semirobust.attacks.objectives import margin
from semirobust.attacks.square import (
    HALVINGS,
    Square,
    bump,
    bump_pair,
    stripes,
    tiles,
    with_moved_square,
    with_random_square,
)
from semirobust.evaluation.report import robust_accuracy


class Halfspace(nn.Module):
    """Logits (-s, s, ...) with s = w·x + b: two live classes, and dead ones far below."""

    def __init__(self, w: Tensor, b: float, dead: int = 0) -> None:
        super().__init__()
        self.w, self.b, self.dead = nn.Parameter(w), b, dead

    def forward(self, x: Tensor) -> Tensor:
        s = x.flatten(1) @ self.w + self.b
        return torch.stack([-s, s, *[s.detach() * 0 - 100 - i for i in range(self.dead)]], dim=1)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halfspace(n: int = 6, dead: int = 0) -> tuple[Halfspace, Tensor, Tensor]:
    """A network and images far from the corners of the box, all of class 1, margins 0.5 to 1.5."""
    w = torch.randn(3 * 36, generator=draws())
    x = 0.45 + 0.1 * torch.rand(n, 3, 6, 6, generator=draws(1))
    s = torch.linspace(0.5, 1.5, n)
    x = x + ((s - x.flatten(1) @ w)[:, None] * w / w.dot(w)).view_as(x)
    return Halfspace(w, 0.0, dead), x, torch.ones(n, dtype=torch.long)


def small_network(classes: int = 5, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
            nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 36, classes)),
        )
        network(torch.rand(32, 3, 8, 8))
    return network


def labelled(network: nn.Module, n: int = 12) -> tuple[Tensor, Tensor]:
    """Images that reach both ends of the box, with the labels the network gives them."""
    x = (1.2 * torch.rand(n, 3, 8, 8, generator=draws(1)) - 0.1).clamp(0, 1)
    with torch.no_grad():
        return x, network.eval()(x).argmax(dim=1)


def both_norms(**settings: float) -> list[object]:
    """Every member, small, with a radius for each norm."""
    kinds = [
        lambda e, p: APGD(epsilon=e, norm=p, steps=12),
        lambda e, p: APGD(epsilon=e, norm=p, steps=12, loss="dlr", restarts=2),
        lambda e, p: TargetedAPGD(epsilon=e, norm=p, steps=8),
        lambda e, p: FAB(epsilon=e, norm=p, steps=8),
        lambda e, p: Square(epsilon=e, norm=p, queries=40),
    ]
    return [kind(e, p) for e, p in ((0.03, "inf"), (0.3, "2")) for kind in kinds]


@pytest.mark.parametrize(("norm", "dual"), [("inf", 1), ("2", 2)])
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_apgd_reaches_the_exact_worst_margin(norm, dual, loss):
    network, x, y = halfspace()
    epsilon = 0.2 / network.w.norm(p=dual).item()  # too little to fool anyone
    attack = APGD(epsilon=epsilon, norm=norm, steps=40, loss=loss)
    reached = margin(network(attack(network, x, y, generator=draws())), y)
    torch.testing.assert_close(reached, margin(network(x), y) - 0.4, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("norm", "dual"), [("inf", 1), ("2", 2)])
@pytest.mark.parametrize("kind", [APGD, TargetedAPGD, FAB])
def test_a_linear_network_falls_exactly_where_the_radius_reaches_its_boundary(norm, dual, kind):
    network, x, y = halfspace(11, dead=3)
    nearest = margin(network(x), y) / 2 / network.w.norm(p=dual)
    epsilon = nearest[5].item() * 1.02  # the samples are sorted by their distance
    x_adv = kind(epsilon=epsilon, norm=norm, steps=30)(network, x, y, generator=draws())
    assert fooled(network, x_adv, y).tolist() == [True] * 6 + [False] * 5


@pytest.mark.parametrize("attack", both_norms(), ids=repr)
@pytest.mark.parametrize("training", [True, False])
def test_stays_in_ball_and_box_and_leaves_the_network_as_it_was(attack, training):
    network = small_network()
    x, y = labelled(network, 7)
    network.train(training)[0].eval()  # a part that its owner had frozen
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    x_adv = attack(network, x, y, generator=draws())
    assert distance(x_adv, x, attack.norm).max() <= attack.epsilon + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("attack", both_norms(), ids=repr)
def test_a_sample_fares_the_same_in_every_batch(attack):
    network = small_network()
    x, y = labelled(network, 20)
    network, x = network.double(), x.double()
    whole = attack(network, x, y, generator=draws())
    for size in (1, 7):
        generator = draws()
        parts = [
            attack(network, a, b, generator=generator)
            for a, b in zip(x.split(size), y.split(size), strict=True)
        ]
        torch.testing.assert_close(torch.cat(parts), whole)


@pytest.mark.parametrize("attack", both_norms(), ids=repr)
def test_what_search_says_is_fooled_is_fooled(attack):
    from semirobust.attacks.noise import sample_noise

    network = small_network()
    x, y = labelled(network, 20)
    x_adv, broken = attack.search(network, x, y, sample_noise(draws(), x))
    assert torch.equal(broken, fooled(network, x_adv, y))
    assert broken.any()


@pytest.mark.parametrize("kind", [TargetedAPGD, FAB])
def test_classes_tried_in_one_batch_find_what_they_find_in_turn(kind):
    network = small_network(8)
    x, y = labelled(network, 72)
    network, x, sizes = network.double(), x.double(), []
    attack = kind(epsilon=0.012, steps=10)
    counted = lambda z: sizes.append(len(z)) or network(z)  # noqa: E731
    in_turn = attack(counted, x, y, generator=draws())  # 72 samples: two classes at a time
    one_by_one, generator = [], draws()
    for a, b in zip(x.split(1), y.split(1), strict=True):  # one sample: all seven at once
        one_by_one.append(attack(network, a, b, generator=generator))
    assert max(sizes) > 72
    torch.testing.assert_close(torch.cat(one_by_one), in_turn)
    broken = fooled(network, in_turn, y)
    assert broken.any()
    assert not broken.all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_few_classes_and_single_images_are_served(classes):
    network = small_network(classes)
    x, y = labelled(network, 1)
    ensemble = FastEnsemble(epsilon=0.2, steps=5, targeted_steps=5)
    for attack in (FAB(epsilon=0.2, steps=5), TargetedAPGD(epsilon=0.2, steps=5), ensemble):
        assert fooled(network, attack(network, x, y, generator=draws()), y).all()


class Broken(nn.Module):
    """A linear network whose answers, or gradients, are no numbers where the first pixel moves."""

    def __init__(self, network: nn.Module, value: float, *, gradients: bool) -> None:
        super().__init__()
        self.network, self.value, self.gradients = network, value, gradients

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if self.gradients:
            if logits.requires_grad:
                logits.register_hook(lambda g: g * self.value)
            return logits
        moved = (x[:, 0, 0, 0] - 0.5).abs() > 0.1
        return torch.where(moved[:, None], self.value, logits)


@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("gradients", [True, False])
def test_points_are_numbers_where_logits_or_gradients_are_not(value, gradients, n):
    whole, x, y = halfspace(n, dead=2)
    network = Broken(whole, value, gradients=gradients)
    members = both_norms()
    members += [FGSM(epsilon=0.3), strong_pgd(0.3), PGD(epsilon=0.3), CarliniWagner(steps=10)]
    for attack in members:
        x_adv = attack(network, x, y, generator=draws())
        assert x_adv.isfinite().all(), attack
        assert not x_adv.requires_grad
        assert distance(x_adv, x, getattr(attack, "norm", "inf")).max() <= (
            getattr(attack, "epsilon", None) or 10
        ) * (1 + 1e-6)
    if not gradients:  # an answer that is no number is a wrong answer, also to a blind search
        for norm, epsilon in (("inf", 0.3), ("2", 3.0)):
            blind = Square(epsilon=epsilon, norm=norm, queries=300)
            _, broken = blind.search(network, x, y, sample_noise(draws(), x))
            assert broken.all() or norm == "2"


def test_apgd_judges_its_step_where_the_paper_says():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(1)) == [1]


def test_apgd_asks_for_one_gradient_more_than_its_steps():
    network, x, y = halfspace()
    calls = []
    attack = APGD(epsilon=1e-3, steps=9)
    attack(lambda z: calls.append(len(z)) or network(z), x, y, generator=draws())
    assert calls == [len(x)] * 10


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_the_move_to_the_plane_is_the_shortest_inside_the_box(norm):
    x = torch.rand(40, 12, generator=draws()).double()
    w = torch.randn(40, 12, generator=draws(1)).double()
    value = 4 * torch.randn(40, generator=draws(2)).double()
    move = to_plane(x, w, value, norm)
    end = value + (w * move).sum(dim=1)
    arrived = end.abs() < 1e-5
    assert 10 < arrived.sum() < 40
    assert (x + move).min() >= -1e-12
    assert (x + move).max() <= 1 + 1e-12
    corner = torch.where(w * -value.sign()[:, None] > 0, 1.0, 0.0).double() - x
    torch.testing.assert_close(move[~arrived], corner[~arrived])
    for i in arrived.nonzero()[:, 0]:  # the slow twin: bisection on the length of the move
        toward = -value[i].sign() * w[i]
        room = torch.where(toward > 0, 1 - x[i], x[i])
        low, high = 0.0, 100.0
        for _ in range(60):
            middle = (low + high) / 2
            speed = toward.abs() if norm == "2" else torch.ones(12).double()
            gained = (toward.abs() * torch.minimum(middle * speed, room)).sum()
            low, high = (middle, high) if gained < value[i].abs() else (low, middle)
        twin = toward.sign() * torch.minimum(high * speed, room)
        torch.testing.assert_close(move[i], twin, rtol=0, atol=1e-5)


def test_square_halves_its_patch_at_the_paper_s_fractions():
    x, attack = torch.zeros(1, 3, 32, 32), Square(epsilon=0.1, queries=10_000)
    sides = [attack.side(bound + after, x) for bound in HALVINGS for after in (0, 1)]
    assert sides[:4] == [29, 20, 20, 14]
    assert sides == sorted(sides, reverse=True)
    assert Square(epsilon=0.1, queries=5000).side(6, x) == 20  # query 6 stands for query 12


def test_square_s_heaps_are_sums_of_inverse_squares_with_norm_one():
    assert bump(3, 3)[1, 1] == pytest.approx(1 + 1 / 4)
    assert bump(5, 5)[0, 2] == pytest.approx(1 / 9)
    assert bump_pair(7, torch.device("cpu")).norm() == pytest.approx(1)


@pytest.mark.parametrize(("norm", "epsilon"), [("inf", 0.02), ("2", 0.3)])
def test_square_needs_no_gradient_and_lowers_the_margin_all_the_way(norm, epsilon):
    network, x, y = halfspace()
    margins = []
    for queries in (1, 10, 100, 1000):
        attack = Square(epsilon=epsilon, norm=norm, queries=queries)
        blind = lambda z: network(z).detach()  # noqa: E731
        margins.append(margin(network(attack(blind, x, y, generator=draws())), y).clamp_min(0))
    assert all(torch.all(b <= a + 1e-6) for a, b in pairwise(margins))
    assert margins[-1].sum() < 0.7 * margins[0].sum()


@pytest.mark.parametrize(("norm", "epsilon"), [("inf", 0.01), ("2", 0.1)])
def test_square_finds_in_batches_what_it_finds_query_by_query(norm, epsilon):
    network = small_network()
    x, y = labelled(network)
    network, x, sizes = network.double(), x.double(), []
    attack = Square(epsilon=epsilon, norm=norm, queries=800)
    counted = lambda z: sizes.append(len(z)) or network(z)  # noqa: E731
    found = attack(counted, x, y, generator=draws())
    assert len(sizes) < 720  # calls; one by one there are 800
    assert sum(sizes) < 1.3 * len(x) * 800

    start, proposed = (stripes, with_random_square) if norm == "inf" else (tiles, with_moved_square)
    noise = sample_noise(draws(), x)
    point = start(x, epsilon, noise)
    least = margin(network(point), y)
    for query in range(1, 800):
        side, number = (torch.full_like(y, n) for n in (attack.side(query, x), query))
        after = proposed(point, x, epsilon, side, noise, number)
        value = margin(network(after), y)
        kept = (value < least) & (least > 0)
        point[kept], least[kept] = after[kept], value[kept]
    torch.testing.assert_close(found, point)
    assert not torch.equal(found, start(x, epsilon, noise))


@pytest.mark.parametrize("attack", both_norms(), ids=repr)
@pytest.mark.parametrize(("full", "often"), [(1, 1), (64, 3), (4096, 8)])
def test_neither_width_nor_patience_changes_a_point(monkeypatch, attack, full, often):
    network = small_network()
    x, y = labelled(network, 20)
    network, x = network.double(), x.double()
    known = attack.search(network, x, y, sample_noise(draws(), x))
    monkeypatch.setattr(width, "FULL_BATCH", full)
    for module in (apgd, fab):
        monkeypatch.setattr(module, "patience", lambda _: often)
    points, broken = attack.search(network, x, y, sample_noise(draws(), x))
    assert torch.equal(broken, known[1])
    torch.testing.assert_close(points, known[0], rtol=0, atol=1e-12)
    assert broken.any()


def test_autoattack_on_images_that_all_stand_takes_a_third_of_the_calls(monkeypatch):
    network, x, y = halfspace(24, dead=8)
    monkeypatch.setattr(width, "FULL_BATCH", 24 * 9)  # as on a GPU: all classes at once
    monkeypatch.setattr(square, "widest", lambda *_, **__: 24 * 4)  # and four queries a sample
    calls = {}
    for name, attack in AutoAttack(epsilon=1e-3).members().items():
        sizes = []
        counted = lambda z, sizes=sizes: sizes.append(len(z)) or network(z)  # noqa: E731
        _, broken = attack.search(counted, x, y, sample_noise(draws(), x))
        assert not broken.any()
        calls[name] = len(sizes)
    assert calls["apgd-ce"] == 101
    assert calls["apgd-t"] == 1 + 101
    assert calls["fab-t"] == 1 + 200
    assert sum(calls.values()) < 2700  # one class and one query at a time: 7,811


class Waits(TorchDispatchMode):
    """Counts where a host would wait for a device: values read, and lengths only it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aten = torch.ops.aten
        self.count += func in (aten._local_scalar_dense.default, aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (APGD(epsilon=1e-3), 14),  # 101 gradients, asked every eighth time
        (TargetedAPGD(epsilon=1e-3), 20),
        (FAB(epsilon=1e-3), 250),  # of 200 calls; its moves to a plane ask at least once
    ],
    ids=["apgd", "apgd-t", "fab-t"],
)
def test_a_gpu_is_seldom_asked_who_is_fooled(monkeypatch, attack, most):
    network, x, y = halfspace(6, dead=8)
    monkeypatch.setattr(width, "FULL_BATCH", 6 * 9)
    for module in (apgd, fab):
        monkeypatch.setattr(module, "patience", lambda _: width.PATIENCE)
    with Waits() as waits:
        _, broken = attack.search(network, x, y, sample_noise(draws(), x))
    assert not broken.any()
    assert waits.count <= most


def test_memory_holds_as_many_samples_as_their_activations_leave_room_for():
    x = torch.rand(8, 3, 8, 8, generator=draws())
    held = 4 * (3 * 64 + 2 * 6 * 36)  # the image, and what ReLU and the last layer keep
    narrow = small_network().eval()
    free = 10**9
    exact = free / width.SPARE / (held + width.IMAGES * 4 * 3 * 64)
    assert width.room(narrow, x, free) == pytest.approx(exact, rel=0.15)
    assert width.room(narrow, x, 2 * free) == pytest.approx(2 * exact, rel=0.15)
    assert width.room(narrow, x, 0) == 1
    assert width.widest(narrow, x) == width.FULL_BATCH  # on a CPU, whatever its memory
    assert width.widest(narrow, x, 7) == 7


def test_square_does_not_ask_for_a_patch_that_changes_nothing():
    asked, logits = [], torch.tensor([1.0, 0.0])
    counted = lambda z: asked.append(z) or logits.expand(len(z), 2)  # noqa: E731
    x, y = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.long)
    Square(epsilon=0.1, queries=200)(counted, x, y, generator=draws())
    assert sum(map(len, asked)) < 0.6 * 4 * 200  # of two signs, one is held already


def test_square_stops_asking_about_fooled_samples():
    network, x, y = halfspace()
    rows = []
    counted = lambda z: rows.append(len(z)) or network(z)  # noqa: E731
    Square(epsilon=0.5, queries=50)(counted, x, y, generator=draws())
    assert len(rows) < 50


def test_autoattack_has_the_official_settings():
    members = AutoAttack(epsilon=8 / 255).members()
    assert list(members) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert (members["apgd-ce"].steps, members["apgd-ce"].restarts) == (100, 1)
    assert (members["apgd-t"].steps, members["apgd-t"].targets) == (100, 9)
    assert members["apgd-t"].loss == "dlr"
    assert (members["fab-t"].steps, members["fab-t"].targets) == (100, 9)
    assert (members["square"].queries, members["square"].share) == (5000, 0.8)
    assert all(member.epsilon == 8 / 255 for member in members.values())
    assert from_name("autoattack", 16 / 255) == AutoAttack(epsilon=16 / 255)


def test_the_headline_set_is_the_beginning_of_autoattack_on_the_same_images():
    network = small_network()
    x, y = labelled(network, 20)
    whole = robust_accuracy(network, x, y, AutoAttack(epsilon=0.01))
    first = robust_accuracy(network, x, y, Headline(epsilon=0.01))
    assert list(first.broken) == ["apgd-ce", "apgd-t"]
    assert all(torch.equal(first.broken[name], whole.broken[name]) for name in first.broken)
    assert torch.all(whole.standing <= first.standing)
    assert 0 < first.accuracy < 1
    assert 3 * first.forward < whole.forward
    few = robust_accuracy(network, x[:8], y[:8], AutoAttack(epsilon=0.01))
    assert torch.equal(few.standing, whole.standing[:8])  # flags can be paired image by image
    assert from_name("headline", 16 / 255) == Headline(epsilon=16 / 255)


def test_a_sample_wrong_from_the_start_costs_one_pass_and_stays_as_it_was():
    network = small_network()
    x, y = labelled(network)
    y, rows = (y + 1) % 5, []
    counted = lambda z: rows.append(len(z)) or network(z)  # noqa: E731
    x_adv = AutoAttack(epsilon=8 / 255)(counted, x, y, generator=draws())
    assert rows == [len(x)]
    assert torch.equal(x_adv, x)


def test_carlini_and_wagner_find_the_nearest_point_of_a_linear_network():
    network, x, y = halfspace()
    exact = margin(network(x), y) / 2 / network.w.norm()
    x_adv = CarliniWagner(steps=100)(network, x, y, generator=draws())
    assert fooled(network, x_adv, y).all()
    assert torch.all(distance(x_adv, x, "2") < 1.02 * exact)
    assert torch.all(distance(x_adv, x, "2") >= 0.999 * exact)


def test_carlini_and_wagner_move_pixels_at_the_ends_of_the_box():
    network = small_network()
    x, _ = labelled(network)
    x = x.round()
    y = network(x).argmax(dim=1)
    x_adv = CarliniWagner()(network, x, y, generator=draws())
    assert fooled(network, x_adv, y).all()
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


def test_carlini_and_wagner_do_not_mind_a_log_softmax_or_a_shift_or_the_batch():
    network = small_network()
    x, y = labelled(network)
    network, x, attack = network.double(), x.double(), CarliniWagner(steps=20, searches=4)
    whole = attack(network, x, y, generator=draws())
    heads = [lambda z: network(z).log_softmax(1), lambda z: network(z) + 9]
    for head in heads:
        torch.testing.assert_close(attack(head, x, y, generator=draws()), whole)
    torch.testing.assert_close(attack(network, x[:1], y[:1], generator=draws()), whole[:1])


def test_carlini_and_wagner_with_a_radius_return_the_clean_image_beyond_it():
    network, x, y = halfspace()
    exact = margin(network(x), y) / 2 / network.w.norm()
    attack = CarliniWagner(steps=100, epsilon=exact[2].item() * 1.05)
    x_adv = attack(network, x, y, generator=draws())
    assert fooled(network, x_adv, y).tolist() == [True] * 3 + [False] * 3
    assert torch.equal(x_adv[3:], x[3:])


def test_kappa_asks_for_a_margin_on_the_wrong_side():
    network, x, y = halfspace()
    x_adv = CarliniWagner(kappa=0.4, steps=100)(network, x, y, generator=draws())
    assert torch.all(margin(network(x_adv), y) <= -0.4)


def test_the_paper_s_carlini_and_wagner_keeps_its_constant():
    attack = from_name("cw")
    assert (attack.c, attack.kappa, attack.steps, attack.learning_rate) == (1, 0, 50, 0.01)
    assert attack.searches == 1


def test_settings_that_cannot_be_meant_are_refused():
    for kind in (APGD, TargetedAPGD, FAB, Square, AutoAttack, FastEnsemble):
        with pytest.raises(ValueError, match="write 8/255, not 8"):
            kind(epsilon=8)
        with pytest.raises(ValueError, match='norm must be "inf" or "2"'):
            kind(epsilon=0.1, norm="1")
    with pytest.raises(ValueError, match="queries must be at least 1 and whole"):
        Square(epsilon=0.1, queries=0)
    with pytest.raises(ValueError, match="c must be positive"):
        CarliniWagner(c=0)
    with pytest.raises(ValueError, match="loss must be one of dlr, margin"):
        TargetedAPGD(epsilon=0.1, loss="cross-entropy")
