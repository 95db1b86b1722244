import pytest

from partita.reactions.simulation import engine


@pytest.fixture(autouse=True)
def scalar_kernel(request, monkeypatch):
    """`method="scalar"` in a parametrised test: the direct method without lanes."""
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("method") == "scalar":
        monkeypatch.setattr(engine, "FEWEST_FOR_LANES", 10**9)
