"""`partita flow`: fit a flow to a table or to images, draw from it, score with it.

file → rows → recipe → model file,   model file → samples,   model file and rows → log-densities
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np

from partita.callbacks.evaluate import Evaluate
from partita.callbacks.progress import Epochs
from partita.cli.options import SEED, FiniteRange, count, ending, say
from partita.extras import need
from partita.files.loading import read_model
from partita.files.whole import replacing
from partita.flows.explore import image_grid, links
from partita.flows.files import Rows, read_rows
from partita.flows.flow import Flow
from partita.flows.ranges import Standardize
from partita.flows.recipes import glow, neural_spline, nice, real_nvp
from partita.waiting import ctrl_c

_INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)
_COUNT = count()
MOST_NUMBERS = 2**26  # of a sample that is one array: 256 MiB
_PIECE = 2**22  # numbers that are drawn at a time
_RECIPES: dict[str, Callable[..., Flow]] = {
    "nice": nice,
    "real_nvp": real_nvp,
    "neural_spline": neural_spline,
    "glow": glow,
}
_DEPTHS = {"nice": 5, "real_nvp": 2, "neural_spline": 2}  # hidden layers of the nets


@click.group(
    epilog="Example: partita flow score table.keras new.csv", context_settings={"show_default": True}
)
def flow() -> None:
    """Fit a normalizing flow, draw from it, score with it."""


def _out(*endings: str, **settings: Any) -> Callable[[Any], Any]:
    """The option --out, a file of one of these endings."""
    return click.option("--out", type=click.Path(path_type=Path), callback=ending(*endings), **settings)


@flow.command(
    short_help="Fit a flow to data.", epilog="Example: partita flow fit table.csv --out table.keras"
)
@click.argument("data", type=_INPUT)
@_out(".keras", required=True, help="The model file, *.keras.")
@click.option(
    "--recipe", type=click.Choice(_RECIPES), help="Default: neural_spline for a table, nice for images."
)
@click.option(
    "--width", type=count(1024), help="Units of each hidden layer of the nets. Default: the recipe's."
)
@click.option("--epochs", type=_COUNT, default=30)
@click.option("--batch-size", type=count(2**24), default=128)
@click.option(
    "--learning-rate", type=FiniteRange(0, min_open=True), default=1e-3, help="Falls to 0 as a cosine."
)
@click.option("--held-out", type=FiniteRange(0.01, 0.9), default=0.1, help="Share that chooses the epoch.")
@click.option("--seed", type=SEED, default=0)
def fit(  # noqa: PLR0913 - a Click command, an argument for each option
    data: Path,
    out: Path,
    recipe: str | None,
    width: int | None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    held_out: float,
    seed: int,
) -> None:
    """Fit a flow to DATA: a table (*.csv) or images (*.npz, *.npy, idx), each also packed as .gz.

    A table may begin with a line of names; its columns are standardised inside the model, so that densities
    are those of the table. Images are bytes, or numbers from 0 to 1. The model of the best epoch so far is
    always in the file: Ctrl-C stops and keeps it.
    """
    keras.utils.set_random_seed(seed)
    rows = read_rows(data)
    order = np.random.default_rng(seed).permutation(len(rows.values))
    count = max(1, round(held_out * len(order)))
    if len(order) - count < 2:
        raise click.ClickException(f"{data} holds {len(order)} rows: want more, to fit and to hold some out")
    train, validation = rows.values[order[count:]], rows.values[order[:count]]
    model = _model(recipe, width, rows._replace(values=train))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-len(train) // batch_size))
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=100.0))
    say(f"fitting to {len(train)} rows, choosing by {len(validation)} held out", err=True)
    best = Evaluate(None, "val_loss", mode="min", path=out, note=False)
    try:
        with ctrl_c() as check:
            model.fit(
                train,
                validation_data=validation,
                batch_size=batch_size,
                epochs=epochs,
                verbose=0,
                callbacks=[best, Epochs(_line, check)],
            )
    except KeyboardInterrupt:
        say("\nstopped", err=True)
        if best.best_epoch is None:
            raise
    except FloatingPointError as error:
        reason = str(error).partition(";")[0]
        if best.best_epoch is None:
            raise click.ClickException(f"{reason}: try a smaller --learning-rate") from None
        say(f"stopped: {reason}", err=True)
    if best.best_epoch is None:
        raise click.ClickException("the loss is no finite number: try a smaller --learning-rate")
    bits = model.history.history["val_bits_per_dim"][best.best_epoch]
    reached = f"{best.best:.4f} nats, {bits:.4f} bits per dimension"
    say(f"held out: {reached}, after epoch {best.best_epoch + 1}: {out}")


def _model(recipe: str | None, width: int | None, rows: Rows) -> Flow:
    shape = rows.values.shape[1:]
    is_table = len(shape) != 3 and not rows.levels
    recipe = recipe or ("neural_spline" if is_table else "nice")
    net: dict[str, Any] = {}
    if width:
        net = {"width": width} if recipe == "glow" else {"hidden": (width,) * _DEPTHS[recipe]}
    if is_table:
        if recipe == "glow":
            raise click.UsageError("--recipe glow is for images, and this is a table.")
        first = Standardize.fit(rows.values, rows.names)
        return _RECIPES[recipe](shape[0], first=first, dequantize=None, **net)
    if recipe == "neural_spline" or (recipe == "glow" and len(shape) != 3):
        raise click.UsageError(f"--recipe {recipe} does not fit rows of the shape {shape}")
    return _RECIPES[recipe](shape, dequantize=rows.levels or 256, **net)


def _line(logs: Mapping[str, float]) -> str:
    held_out = f"{logs['val_loss']:.4f}, {logs['val_bits_per_dim']:.4f} bits per dimension"
    return f"{logs['loss']:.4f} nats, held out {held_out}"


@flow.command(
    short_help="Draw from a flow.",
    epilog="Example: partita flow sample table.keras --rows 1000 --out drawn.csv",
)
@click.argument("model", type=_INPUT)
@click.option("--rows", type=_COUNT, default=64)
@click.option("--temperature", type=FiniteRange(0), default=1.0, help="Below 1: only what is likely.")
@click.option("--seed", type=SEED, help="The same seed gives the same rows.")
@_out(".csv", ".npz", ".png", help="Default: standard output.")
def sample(model: str, rows: int, temperature: float, seed: int | None, out: Path | None) -> None:
    """Draw rows from the flow in MODEL.

    They come as a table (*.csv), as arrays (*.npz), or as a sheet of images (*.png).
    """
    if out is not None and out.suffix == ".png":
        need("matplotlib", "--out *.png")
    fitted = _load(model)
    most = MOST_NUMBERS // int(np.prod(fitted.data_shape))
    if out is not None and out.suffix != ".csv" and rows > most:
        raise click.UsageError(
            f"--rows: expected at most {most:,} of this model in one array, got {rows:,}: a table (*.csv) "
            f"may hold more."
        )
    pieces = _drawn(fitted, rows, temperature, seed)
    if out is None:
        _write_table("-", fitted, pieces)
        return
    with replacing(out) as beside:
        if out.suffix == ".csv":
            _write_table(beside, fitted, pieces)
        elif out.suffix == ".png":
            image_grid(np.concatenate([*pieces]), path=beside)
        else:
            drawn = np.concatenate([*pieces])
            is_bytes = fitted.dequantize is not None
            drawn = np.round(255 * np.clip(drawn, 0, 1)).astype("uint8") if is_bytes else drawn
            np.savez_compressed(beside, x=drawn)
    say(f"written: {out}")


def _drawn(fitted: Flow, rows: int, temperature: float, seed: int | None) -> Iterator[np.ndarray]:
    """Yield the rows in pieces.

    The first is what `fitted.sample` draws with this seed, the others have seeds that follow from it.
    """
    size = max(1, _PIECE // int(np.prod(fitted.data_shape)))
    for first in range(0, rows, size):
        follows = seed
        if first and seed is not None:
            follows = int(np.random.SeedSequence((seed, first)).generate_state(1)[0])
        yield fitted.sample(min(size, rows - first), temperature, follows)


def _write_table(path: str | Path, fitted: Flow, pieces: Iterator[np.ndarray]) -> None:
    """Write rows to a file, or to standard output where its name is "-"."""
    names = _names(fitted) or [f"x{place}" for place in range(int(np.prod(fitted.data_shape)))]
    with click.open_file(path, "w", encoding="utf-8") as file:
        file.write(",".join(names) + "\n")
        for piece in pieces:
            np.savetxt(file, piece.reshape(len(piece), -1), "%.7g", delimiter=",")


@flow.command(
    short_help="Score data with a flow.", epilog="Example: partita flow score table.keras new.csv --lowest 10"
)
@click.argument("model", type=_INPUT)
@click.argument("data", type=_INPUT)
@click.option(
    "--lowest", type=click.IntRange(min=0), default=5, help="Print so many rows of the lowest density."
)
@_out(".csv", help="Write the log-density of every row: *.csv.")
def score(model: str, data: Path, lowest: int, out: Path | None) -> None:
    """Print how likely DATA is under the flow in MODEL.

    It prints the mean log-density in nats, bits per dimension, and the rows that fit least.

    Rows are counted from 1, a line of names left out. Images are scored with the noise of the training, the
    same in every call.
    """
    fitted = _load(model)
    rows = read_rows(data)
    names, values = _names(fitted), rows.values
    if names and rows.names and names != rows.names:
        if missing := [name for name in names if name not in rows.names]:
            raise click.ClickException(f"{data} has no column '{missing[0]}', which the model was fitted to")
        values = values[:, [rows.names.index(name) for name in names]]
    if values.shape[1:] != fitted.data_shape:
        found = f"{data} holds rows of the shape {values.shape[1:]}"
        raise click.ClickException(f"{found}, and the model was fitted to {fitted.data_shape}")
    bits = fitted.bits_per_dim(values, seed=0)
    # of the density, as the loss of the training
    log_prob = (np.log2(fitted.levels) - bits) * np.log(2) * values[0].size
    nats = f"{log_prob.mean():.4f} ± {log_prob.std() / np.sqrt(len(log_prob)):.4f} nats"
    say(f"{len(log_prob)} rows: {nats}, {bits.mean():.4f} bits per dimension")
    for row in np.argsort(log_prob)[:lowest]:
        say(f"row {row + 1}: {log_prob[row]:.4f}")
    if out is not None:
        with replacing(out) as beside:
            np.savetxt(beside, log_prob, "%.6f", header="log_prob", comments="")
        say(f"written: {out}")


def _load(path: str | Path) -> Flow:
    model = read_model(path)
    if not isinstance(model, Flow):
        raise click.ClickException(f"{path} holds no flow: want one from 'partita flow fit'")
    return model


def _names(fitted: Flow) -> list[str] | None:
    """The names of the columns that a flow was fitted to."""
    return next((link.names for link in links(fitted.bijection) if isinstance(link, Standardize)), None)
