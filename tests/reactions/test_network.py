import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from partita.reactions import Event, Network, Reaction
from partita.reactions.model.expression import evaluate, to_text
from tests.reactions.networks import networks


@settings(max_examples=200)
@given(networks())
def test_printing_and_parsing_is_the_identity(net):
    again = Network.from_text(str(net))
    assert again == net
    assert hash(again) == hash(net)
    assert (*again.parameters,) == (*net.parameters,)


@given(networks())
def test_a_network_travels(net):
    assert pickle.loads(pickle.dumps(net)) == net


@pytest.mark.parametrize(
    ("text", "count", "propensity", "rate"),
    [
        ("2 A -> @ 3", 5, 3 * 10, 3 * 25 / 2),
        ("A + A -> @ 3", 5, 3 * 10, 3 * 25 / 2),
        ("3 A -> @ 2", 5, 2 * 10, 2 * 125 / 6),
        ("convention permutations; 3 A -> @ 2", 5, 2 * 60, 2 * 125),
        ("2 A -> @ 3", 1, 0, 1.5),
        ("A -> 2 A @ 3", 0, 0, 0),
        ("-> A @ 3", 7, 3, 3),
        ("A -> @@ 3 * A ** 2", 5, 75, 75),
    ],
)
def test_mass_action_counts_the_ways_to_choose_reactants(text, count, propensity, rate):
    net = Network.from_text(text)
    assert evaluate(net.propensity(net.reactions[0]), {"A": count}) == propensity
    assert evaluate(net.rate(net.reactions[0]), {"A": count}) == rate


def test_both_ways_are_two_reactions():
    net = Network.from_text("bind: A + B <-> C @ k, 0.5; k = 2")
    assert [str(reaction) for reaction in net.reactions] == [
        "bind: A + B -> C @ k",
        "bind_back: C -> A + B @ 0.5",
    ]


def test_the_article_is_four_lines():
    net = Network.from_text("∅ -> m @ 20 \n m -> m + n @ 2.5 \n m → ∅ @ 1 \n n -> @ 1  # decay")
    assert net.species == ("m", "n")
    np.testing.assert_array_equal(net.stoichiometry(), [[1, 0, -1, 0], [0, 1, 0, -1]])
    assert net == Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1;")


def test_a_count_that_is_written_by_several_means_is_one_network():
    text = Network.from_text("k = 1/2; A = 1e2; A + A -> B @ k; at 25: A = 50")
    objects = Network(
        species=("A", "B"),
        reactions=(Reaction([("A", 1), ("A", 1)], {"B": 1}, "k"),),
        parameters={"k": 0.5},
        initial={"A": 100},
        events=(Event("t >= 25", {"A": 50}),),
    )
    assert text == objects


def test_rules_are_put_into_rates_and_follow_one_another():
    net = Network.from_text("all := free + C; free := A + B; A + B -> C @ 1; C -> @@ all * k; k := 2")
    assert to_text(net.propensity(net.reactions[1])) == "((A + B) + C) * 2"
    assert evaluate(net.propensity(net.reactions[1]), {"A": 1, "B": 2, "C": 3}) == 12


def test_fixed_species_take_part_and_stay():
    net = Network.from_text("fixed S; S = 4; S + A -> S + S + B @ 2")
    assert net.change(net.reactions[0]) == {"A": -1, "B": 1}
    assert evaluate(net.propensity(net.reactions[0]), {"S": 4, "A": 3}) == 24


NET = Network.from_text("k = 1; x := 2 * A; A -> B @ k")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Network((), ()), "species must name at least one"),
        (lambda: Network(("A", "A"), ()), "species must have names of their own, got 'A' twice"),
        (lambda: Network(("t",), ()), "'t' has a meaning of its own"),
        (lambda: replace(NET, parameters={"k": 1, "A": 2}), "'A' must be one thing"),
        (
            lambda: replace(NET, parameters={"k": float("nan")}),
            "parameter 'k' must be a finite number, got nan",
        ),
        (lambda: replace(NET, parameters={"k": "fast"}), "parameter 'k' must be a finite number, got 'fast'"),
        (lambda: replace(NET, initial={"C": 1}), "initial must name species of the network, got 'C'"),
        (
            lambda: replace(NET, initial={"A": 0.5}),
            "initial count of 'A' must be a whole number from 0 to 9007199254740992, got 0.5",
        ),
        (lambda: replace(NET, initial={"A": -1}), "got -1"),
        (
            lambda: replace(NET, rules={"x": "1", "B": "2"}, reactions=[], initial={"B": 1}),
            "species that follow no rule, got 'B'",
        ),
        (lambda: replace(NET, initial={"A": "5"}), "got '5'"),
        (lambda: replace(NET, initial={"A": float("inf")}), "got inf"),
        (lambda: replace(NET, fixed={"k"}), "fixed must name species of the network, got 'k'"),
        (
            lambda: replace(NET, convention="powers"),
            "convention must be one of combinations, permutations, got 'powers'",
        ),
        (
            lambda: replace(NET, rules={}, reactions=[Reaction({"A": 1}, {}, "x")]),
            "reaction A -> @ x must name .* got 'x'",
        ),
        (
            lambda: replace(NET, reactions=[Reaction({"A": 1}, {}, "x")]),
            "must have a constant for mass action, got one that follows 'A'",
        ),
        (
            lambda: replace(NET, reactions=[Reaction({"A": 1}, {"C": 1}, "k")]),
            "must name species of the network, got 'C'",
        ),
        (lambda: replace(NET, rules={"A": "B"}), "must not change 'A', which follows a rule"),
        (lambda: replace(NET, rules={"x": "y", "y": "x + 1"}), "a rule must not follow itself, got"),
        (lambda: replace(NET, rules={"x": "z"}), "the rule of 'x' must name .* got 'z'"),
        (
            lambda: replace(NET, events=[Event("t > 1", {"x": 1})]),
            "must set species or parameters that follow no rule, got 'x'",
        ),
        (
            lambda: replace(NET, events=[Event("C > 1", {"A": 1})]),
            "event when C > 1: A = 1 must name .* got 'C'",
        ),
        (lambda: Event("t + 1", {"A": 1}), "trigger must be a condition, got t \\+ 1"),
        (lambda: Event("t > 1", {}), "assignments must name at least one"),
        (lambda: Event("t > 1", [("A", 1), ("A", 2)]), "each once"),
        (
            lambda: Reaction({"A": 0}, {}, 1),
            "count of 'A' in reactants must be a whole number from 1 to 1000000, got 0",
        ),
        (lambda: Reaction({"A": 1.5}, {}, 1), "got 1.5"),
        (lambda: Reaction({"A": None}, {}, 1), "got None"),
        (lambda: Reaction({}, {"A b": 1}, 1), "a name must be letters"),
        (lambda: Reaction({"A": 21}, {}, 1), "mass action takes at most 20 reactants, got 21"),
        (lambda: Reaction({"A": 1}, {}, "k +"), "rate must be an expression, got 'k \\+': line 1, column 4"),
        (lambda: Reaction({"A": 1}, {}, float("inf")), "rate must be an expression, got inf"),
        (lambda: Reaction({"A": 1}, {}, None), "rate must be an expression, got None"),
        (lambda: Reaction({"A": 1}, {}, "k < 1"), "rate must be a number, got k < 1"),
        (lambda: NET.values({"q": 1}), "parameters must name parameters of the network, got 'q'"),
        (lambda: Network.from_text(b"A -> B @ 1"), "text must be a str, got bytes"),
    ],
)
def test_what_is_no_network_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_propensities_that_explode_together_are_stopped():
    rule = " + ".join(["A"] * 9000)
    reactions = "\n".join(["A -> @@ x"] * 1000)
    with pytest.raises(ValueError, match=r"line .* propensities must have at most 5000000 parts"):
        Network.from_text(f"x := {rule}\n{reactions}")
