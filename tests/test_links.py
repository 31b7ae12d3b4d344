"""Networks of others as chains: the same logits, cut where only one value is alive."""

import pytest
import torch
import torchvision
from torch import nn

from semirobust import Normalise, activations, as_chain, cut, splice, split
from semirobust.certified.certificates import certified_margins


def untrained(name, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(torchvision.models, name)(weights=None, **more).eval()


@pytest.fixture(scope="module")
def resnet():
    return untrained("resnet18", num_classes=10)


@pytest.fixture
def x(generator):
    return torch.rand(2, 3, 32, 32, generator=generator)


@pytest.mark.parametrize(
    ("name", "n"),
    [("alexnet", 8), ("vgg11_bn", 11), ("resnet18", 10), ("squeezenet1_0", 18)],
)
def test_a_chain_computes_the_network_to_the_bit_and_shares_its_weights(name, n, generator):
    model = untrained(name, num_classes=10)
    x = torch.rand(2, 3, 64, 64, generator=generator)
    chain = as_chain(model, x)
    assert len(chain) == n
    assert torch.equal(chain(x), model(x))
    theirs = {weight.data_ptr() for weight in model.parameters()}
    assert {weight.data_ptr() for weight in chain.parameters()} == theirs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet50", 64),
        ("mobilenet_v3_small", 64),
        ("efficientnet_b0", 64),
        ("convnext_tiny", 64),
        ("densenet121", 64),
        ("vit_b_16", 224),
        ("swin_t", 224),
    ],
)
def test_every_family_of_torchvision_can_be_cut(name, size, generator):
    model, x = untrained(name), torch.rand(2, 3, size, size, generator=generator)
    chain = as_chain(model, x)
    assert len(chain) > 8
    torch.testing.assert_close(chain(x), model(x))


def test_links_end_after_the_modules_that_are_named(resnet, x):
    chain = as_chain(resnet, x, links=["layer2", "layer3"])
    assert list(dict(chain.named_children())) == ["layer2", "layer3", "rest"]
    stem = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    h = resnet.layer2(resnet.layer1(stem))
    assert torch.equal(activations(chain, x)[1], h)
    assert torch.equal(activations(chain, x)[2], resnet.layer3(h))


def test_parts_in_order_may_be_given_by_hand(resnet, x):
    body = [resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1, resnet.layer2]
    body += [resnet.layer3, resnet.layer4]
    head = nn.Sequential(resnet.avgpool, nn.Flatten(), resnet.fc)
    assert len(as_chain(resnet, x, links=[*body, head])) == 9
    with pytest.raises(ValueError, match="its logits differ, check the order of the links"):
        as_chain(resnet, x, links=[*body[:-1], nn.ReLU(), body[-1], head, nn.Softmax(dim=1)])


def test_a_chain_is_what_the_package_takes(resnet, x):
    chain, other = (as_chain(model, x) for model in (resnet, untrained("resnet18", num_classes=10)))
    a = cut(chain, 4)
    assert a == 8  # the classifier and one block of two convolutions: three is nearest to four
    assert torch.equal(splice(chain, other, a)(x), chain(x))
    f_a, f_b = split(chain, a)
    assert torch.equal(f_b(f_a(x)), chain(x))


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Pair(nn.Module):
    def forward(self, x):
        return x.relu(), x


class InTheStyleOfTimm(nn.Module):
    """Features and head as methods, blocks that add to what they are given, pooling by a mean."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 16, 4, stride=4)
        self.blocks = nn.Sequential(*(MixingBlock(16) for _ in range(3)))
        self.norm, self.head = nn.GroupNorm(1, 16), nn.Linear(16, 10)

    def forward_features(self, x):
        return self.norm(self.blocks(self.patch_embed(x)))

    def forward_head(self, x, *, pre_logits=False):
        x = x.mean(dim=(-2, -1))
        return x if pre_logits else self.head(x)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class MixingBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix, self.scale = nn.Conv2d(width, width, 3, padding=1, groups=width), 0.5
        self.mlp = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1)
        )

    def forward(self, x):
        x = x + self.scale * self.mix(x)
        return x + self.scale * self.mlp(x)


def test_a_network_in_the_style_of_timm_is_cut_and_spliced(x):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, other = InTheStyleOfTimm().eval(), InTheStyleOfTimm().eval()
    chain = as_chain(model, x)
    assert torch.equal(chain(x), model(x))
    named = as_chain(model, x, links=["patch_embed", "blocks.0", "blocks.2"])
    assert [*dict(named.named_children())] == ["patch_embed", "blocks_0", "blocks_2", "rest"]
    assert torch.equal(activations(named, x)[3], model.blocks(model.patch_embed(x)))
    spliced = splice(as_chain(other, x), chain, cut(chain, 1))
    assert torch.equal(
        spliced(x), model.head(other.forward_head(other.forward_features(x), pre_logits=True))
    )


def test_what_cannot_be_cut_is_told_in_one_line_with_the_mend(resnet, x):
    with pytest.raises(ValueError, match=r"Branch cannot be traced .* give its parts in order"):
        as_chain(Branch(), torch.ones(2, 4))
    with pytest.raises(ValueError, match="Pair maps more than images to logits"):
        as_chain(Pair(), torch.ones(2, 4))
    with pytest.raises(
        ValueError, match=r"no cut after 'layer1\.0\.conv1'.* conv1, .*layer4.*, fc"
    ):
        as_chain(resnet, x, links="layer1.0.conv1")
    for names in (
        ["layer3", "layer2", "layer3"],
        ["layer3", "layer2"],
    ):  # rho would name the pairs so
        with pytest.raises(ValueError, match="once, in the order of the network: layer2, layer3"):
            as_chain(resnet, x, links=names)
    for nothing in (x[:0], x.numpy()):
        with pytest.raises(ValueError, match="give x, a few images as a tensor"):
            as_chain(resnet, nothing)


def test_images_are_scaled_inside_the_network(resnet, x):
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    scaled = nn.Sequential(Normalise(mean, deviation), resnet)
    by_torchvision = torchvision.transforms.functional.normalize(x, mean, deviation)
    torch.testing.assert_close(as_chain(scaled, x)(x), resnet(by_torchvision))
    assert scaled.state_dict().keys() == {f"1.{name}" for name in resnet.state_dict()}


def test_bounds_hold_for_a_network_of_others_and_its_scale(x, generator):
    model = untrained("resnet18", num_classes=4)
    chain = as_chain(nn.Sequential(Normalise([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]), model), x)
    y, small = chain(x).argmax(dim=1), 1e-4
    logits = chain((x + small * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1))
    apart = logits.gather(1, y[:, None]) - logits
    for lower in certified_margins(chain, x, y, small, ["ibp"]).values():
        assert (lower <= apart + 1e-4).all()
