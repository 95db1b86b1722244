from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import null_space

from partita.reactions import Network, Reaction

GENES = Network.from_text("k = 2.5; -> m @ 20; m -> m + n @ k; m -> @ 1; n -> @ 1")


def test_the_rate_equation_of_gene_expression_has_its_closed_form():
    path = solve_ivp(GENES.rate_equation(), (0, 3), [0.0, 0.0], rtol=1e-9, atol=1e-9, args=({"k": 5.0},))
    t = path.t
    np.testing.assert_allclose(
        path.y, [20 * (1 - np.exp(-t)), 100 * (1 - np.exp(-t) - t * np.exp(-t))], atol=1e-6
    )


def test_the_rate_equation_takes_batches():
    field = GENES.rate_equation()
    states = np.arange(12.0).reshape(2, 3, 2)
    assert field(0.0, states).shape == (2, 3, 2)
    np.testing.assert_array_equal(field(0.0, states)[1, 2], field(0.0, states[1, 2]))
    np.testing.assert_array_equal(field(0.0, [4, 6]), [16, 4])


def test_the_rate_equation_follows_time_rules_and_fixed_species():
    net = Network.from_text("fixed S; x := 2 * A; S + A -> B @@ t * x * S; 2 A -> @ 3")
    np.testing.assert_array_equal(
        net.rate_equation()(5.0, np.array([7.0, 2.0, 0.0])), [0, -5 * 4 * 7 - 12, 5 * 4 * 7]
    )


def test_a_network_without_reactions_stands_still():
    np.testing.assert_array_equal(Network(("A",), ()).rate_equation()(0.0, np.array([3.0])), [0])


def test_keras_tensors_pass_through():
    ops = pytest.importorskip("keras").ops
    y = ops.convert_to_tensor(np.array([[1.0, 2.0], [3.0, 4.0]], "float32"))
    result = GENES.rate_equation(ops)(0.0, y, {"k": ops.convert_to_tensor(5.0)})
    np.testing.assert_allclose(ops.convert_to_numpy(result), [[19, 3], [17, 11]], rtol=1e-6)


MIXED = Network.from_text(
    "k = 2; q = 3; A -> B @ k; B -> A @@ hill(B, q, 2) * exp(-t / 5) + max(A, 1) + if(A > 2, k, sqrt(q)); "
    "-> A @ 1; species C"
)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("traced", [False, True])
def test_the_rate_equation_follows_the_kind_and_type_of_its_input(shape, dtype, traced):
    pytest.importorskip("keras")
    from keras import backend, ops

    from partita.backend import compiled, double_precision

    y = np.random.default_rng(0).uniform(0.0, 4.0, shape)
    wanted = MIXED.rate_equation()(1.5, y)
    assert wanted.dtype == "float64"
    with double_precision():
        field = MIXED.rate_equation()
        call = compiled(lambda y: field(1.5, y)) if traced else lambda y: field(1.5, y)
        found = call(ops.convert_to_tensor(y.astype(dtype)))
    assert backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), wanted, rtol=1e-5 if dtype == "float32" else 1e-13
    )


def test_tensors_among_parameters_or_for_the_time_give_tensors():
    ops = pytest.importorskip("keras").ops
    field = GENES.rate_equation()
    for t, y, k in (
        (0.0, np.array([4.0, 6.0]), ops.convert_to_tensor(5.0)),
        (ops.convert_to_tensor(0.0), [4, 6], 5.0),
    ):
        found = field(t, y, {"k": k})
        assert ops.is_tensor(found)
        np.testing.assert_allclose(ops.convert_to_numpy(found), [16, 14], rtol=1e-6)


def test_a_fit_takes_the_rate_equation_as_it_is():
    ode = pytest.importorskip("partita.ode")
    times = np.arange(5.0)
    data = np.stack([5 * np.exp(-0.7 * times), 5 - 5 * np.exp(-0.7 * times)], axis=-1)
    found = ode.fit(
        Network.from_text("k = 1; A -> B @ k").rate_equation(),
        {"k": 1.0},
        times,
        data,
        initial=[5, 0],
        starts=1,
        steps=25,
    )
    assert found.parameters["k"] == pytest.approx(0.7, rel=1e-5)


def test_a_rate_equation_holds_no_events():
    net = Network.from_text("A -> @ 1; at 5: A = 3")
    with pytest.raises(ValueError, match=r"a rate equation holds no events, got at t >= 5: A = 3"):
        net.rate_equation()
    assert replace(net, events=()).rate_equation()(0.0, np.array([3.0])) == [-3]


@pytest.mark.parametrize(
    ("text", "laws"),
    [
        ("A -> B @ 1", [{"A": 1, "B": 1}]),
        ("E + S <-> ES @ 1, 1; ES -> E + P @ 1", [{"E": 1, "ES": 1}, {"S": 1, "ES": 1, "P": 1}]),
        ("2 A <-> A2 @ 1, 1; A2 + B -> C @ 1", [{"B": 1, "C": 1}, {"A": 1, "A2": 2, "C": 2}]),
        ("-> A @ 1; A -> @ 1", []),
        ("fixed S; S -> A @ 1; A + B -> B @ 1", [{"B": 1}]),
        ("A + B -> @ 1", [{"A": 1, "B": -1}]),
        ("total := A + B; A -> B @ 1", [{"A": 1, "B": 1}]),
    ],
)
def test_conservation_laws_are_found(text, laws):
    assert [*Network.from_text(text).conserved()] == laws


@given(
    st.lists(
        st.tuples(*[st.dictionaries(st.sampled_from("ABCDE"), st.integers(1, 3), max_size=3)] * 2),
        min_size=1,
        max_size=6,
    )
)
def test_conservation_laws_are_complete_and_hold(sides):
    net = Network(tuple("ABCDE"), tuple(Reaction(*pair, 1) for pair in sides))
    laws = np.array([[law.get(name, 0) for name in net.species] for law in net.conserved()]).reshape(-1, 5)
    stoichiometry = net.stoichiometry()
    assert not (laws @ stoichiometry).any()
    assert np.linalg.matrix_rank(laws) == len(laws) == null_space(stoichiometry.T.astype(float)).shape[1]
    assert np.array_equal(laws, laws // np.gcd.reduce(laws, axis=1, keepdims=True)) if len(laws) else True
