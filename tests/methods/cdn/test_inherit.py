"""A network of forms that inherits the weights of `cdn` starts where that one stands."""

from dataclasses import asdict

import pytest
import torch

from cdnbench.datasets.synthetic.training import Laws, batch
from cdnbench.methods.cdn.forms_network import FormsNetwork, FormsShape, read
from cdnbench.methods.cdn.inherit import adopt, inherit
from cdnbench.methods.cdn.network import CausalDifferentialNetwork, Shape

SMALL = Shape(d=8, c=16, heads=2, paths=2, stages=(1, 1))


def test_what_is_inherited_reads_levels_as_it_did():
    torch.manual_seed(0)
    other, network = CausalDifferentialNetwork(SMALL).eval(), FormsNetwork(SMALL).eval()
    with torch.no_grad():  # the other network starts from another belief about targets
        other.node_tests[0].weight[:, -1] = 0
    inherit(network, other.state_dict())
    example = batch(Laws(sizes=((8, 8),), rows=((300, 300),)), 0, 0, cells=500)[0]
    reading = read([example.task.observational, *example.task.regimes])
    with torch.inference_mode():
        network.enter.bias.zero_()
        network.contexts[0].update[-1].bias.zero_()
        states, first = network.screen(reading.evidence)
        certain = torch.full_like(first.among, 60.0)  # all are targets: only controls are trusted
        everything = first._replace(moved=certain[..., 0], among=certain)
        found = network.reason(reading.summaries, torch.zeros_like(states), everything)[0]
        expected = other(reading.summaries[0])[0]
    assert torch.allclose(found.among, expected.targets, atol=5e-3)
    assert expected.targets.std() > 0.02


def test_every_tensor_finds_its_place():
    other, network = CausalDifferentialNetwork(SMALL), FormsNetwork(SMALL)
    inherit(network, other.state_dict())
    state = network.state_dict()
    for name, tensor in other.state_dict().items():
        if name.startswith(("layers", "edge_heads")):
            assert torch.equal(state[name], tensor)
    old = other.state_dict()
    assert torch.equal(state["tests.1.0.log_kappa"], old["tests.1.log_kappa"])
    assert torch.equal(state["heads.1.among.2.weight"], old["target_heads.1.net.3.weight"])
    assert torch.equal(state["grid_shift.weight"][:, :9], old["grid_shift.weight"])
    assert (state["grid_shift.weight"][:, 9:] == 0).all()


def test_other_shapes_are_refused():
    larger = CausalDifferentialNetwork(Shape(d=12, c=16, heads=2, paths=2, stages=(1, 1)))
    with pytest.raises(ValueError, match="this network has"):
        inherit(FormsNetwork(SMALL), larger.state_dict())
    longer = CausalDifferentialNetwork(Shape(d=8, c=16, heads=2, paths=2, stages=(1, 1, 1)))
    with pytest.raises(ValueError, match="no place"):
        inherit(FormsNetwork(SMALL), longer.state_dict())


VARIANTS = [
    {"forms": ("level",)},
    {"forms": ("score",)},
    {"evidence": False},
    {"contexts": False},
]


@pytest.mark.parametrize("change", VARIANTS)
def test_a_variant_adopts_all_that_it_shares(change):
    full = FormsNetwork(SMALL)
    network = FormsNetwork(FormsShape(**asdict(SMALL), **change))
    assert adopt(network, full) == []
    state, source = network.state_dict(), full.state_dict()
    assert torch.equal(state["layers.0.0.tokens.weight"], source["layers.0.0.tokens.weight"])
    if change.get("forms") == ("score",):
        half = source["grid_before.weight"].shape[1] // 2
        assert torch.equal(state["grid_before.weight"], source["grid_before.weight"][:, half:])
        tests = source["grid_tests.0.weight"]
        width = (tests.shape[1] - 1) // 2
        assert torch.equal(state["grid_tests.0.weight"][:, :-1], tests[:, width:-1])
        assert torch.equal(state["grid_tests.0.weight"][:, -1], tests[:, -1])


def test_the_full_network_adopts_an_equal_one_whole():
    one, other = FormsNetwork(SMALL), FormsNetwork(SMALL)
    assert adopt(one, other) == []
    assert all(torch.equal(one.state_dict()[n], t) for n, t in other.state_dict().items())


def test_what_was_never_read_stays_as_drawn():
    """Weights of `cdn-suites` read levels alone: a network of scores starts its own reading."""
    full = FormsNetwork(SMALL)
    inherit(full, CausalDifferentialNetwork(SMALL).state_dict())
    network = FormsNetwork(FormsShape(**asdict(SMALL), forms=("score",)))
    drawn = network.grid_before.weight.clone()
    assert "grid_before.weight" in adopt(network, full)
    assert torch.equal(network.grid_before.weight, drawn)


def test_a_form_or_context_that_the_other_lacks_is_named():
    less = FormsNetwork(FormsShape(**asdict(SMALL), forms=("level",), contexts=False))
    anew = adopt(FormsNetwork(SMALL), less)
    assert {"grid_before.weight", "contexts.0.norm.weight"} <= set(anew)
    assert any(name.startswith("tests.0.1.") for name in anew)
    assert "layers.0.0.tokens.weight" not in anew


def test_other_sizes_are_not_adopted():
    with pytest.raises(ValueError, match="is"):
        adopt(FormsNetwork(SMALL), FormsNetwork(FormsShape(d=12, c=16, heads=2, paths=2)))
