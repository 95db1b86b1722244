"""An ensemble written chunk by chunk, so that a run that was killed goes on where it was.

    NAME.partial/call.json, 00000000.npz, …   →   NAME

A chunk's file gets its name only once it is whole, and so does the result: whenever the process ends, what
has a name is complete. Where writing fails, the folder goes if no chunk is complete; otherwise the error, and
a text in the folder, say how to go on.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from partita.extras import need
from partita.files.bounded import arrays
from partita.files.whole import reading
from partita.reactions.simulation.engine import Runs

SUFFIXES = (".zarr", ".nc")
MOST_SPECIES = 200_000  # more than a network can have, and a few arrays beside
_ADVICE = (
    "Chunks of the run that is to become {name}. The same call of partita goes on where this one stopped, "
    "and removes\nthis folder when it is done: the same command line, or `simulate` with the same arguments. "
    "To begin anew, remove the folder.\n"
)


class Journal:
    """The chunks of one call beside the file that they are to become.

    Args:
        path: The result, `.zarr` or `.nc`.
        call: What was asked for; all of it must be the same for a run to go on.

    Raises:
        ValueError: if the suffix is another, or what is there belongs to another call.
        ImportError: if zarr or h5netcdf is missing.
    """

    def __init__(self, path: str | PathLike[str], call: dict[str, Any]):
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES:
            raise ValueError(f"save must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
        need("zarr" if self.path.suffix == ".zarr" else "h5netcdf", f"saving runs as {self.path.suffix}")
        self.folder = self.path.with_name(self.path.name + ".partial")
        self.call = json.loads(json.dumps(call))

    def earlier(self) -> dict[str, Any] | None:
        """The call that the result or the chunks there belong to, or None."""
        record = self.folder / "call.json"
        try:
            if self.path.exists():
                with self.result() as finished:
                    return dict(json.loads(finished.attrs.get("call", "{}")))
            return dict(json.loads(record.read_text(encoding="utf-8"))) if record.exists() else None
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} cannot be gone on with, remove it and {self.folder.name}, or save elsewhere: "
                f"{error}"
            ) from error

    def begin(self) -> None:
        """Make the folder, or make sure that it belongs to the same call."""
        earlier = self.earlier()
        if earlier is None:
            with self.writing():
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / "README.txt").write_text(_ADVICE.format(name=self.path.name), encoding="utf-8")
                call = json.dumps(self.call)
                self._write("call.json", lambda path: path.write_text(call, encoding="utf-8"))
        elif earlier != self.call:
            keys = sorted({*earlier, *self.call})
            different = ", ".join(key for key in keys if earlier.get(key) != self.call.get(key))
            raise ValueError(
                f"{self.path} holds another run, which differs in {different}: remove it, or save elsewhere"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Leave nothing incomplete behind if writing fails.

        The error says how to go on if there is a complete chunk.

        Raises:
            OSError: for an error of the system, or of the library that writes.
        """
        try:
            yield
        except BaseException as error:
            for left in (*self.folder.glob("*.writing"), self._result()):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
            if not any(self.folder.glob("*.npz")):
                shutil.rmtree(self.folder, ignore_errors=True)
            elif isinstance(error, Exception):
                said = " ".join(str(error).split()) or type(error).__name__
                raise OSError(
                    f"{self.path} cannot be written: {said}; the same call goes on from {self.folder.name}"
                ) from error
            raise

    def has(self, first: int) -> bool:
        """Whether the chunk that begins with this trajectory is complete."""
        return self.path.exists() or self._chunk(first).exists()

    def put(self, runs: Runs) -> None:
        """Keep a chunk."""
        content = {f"table_{name}": table for name, table in runs.tables.items()}
        content |= {"status": runs.status, "events": runs.events, "end": runs.end}
        content["messages"] = np.array(runs.messages, dtype=np.str_)

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **content)  # type: ignore[arg-type]

        with self.writing():
            self._write(self._chunk(runs.first).name, write)

    def get(self, first: int) -> Runs:
        """Read a chunk back."""
        path = self._chunk(first)
        damaged = f"{path} is damaged, remove it to compute it again"
        with reading(damaged), arrays(path, MOST_SPECIES) as content:
            tables = {key.removeprefix("table_"): content[key] for key in content if key.startswith("table_")}
            messages = [str(message) for message in content["messages"]]
            return Runs(first, tables, content["status"], content["events"], content["end"], messages)

    def finish(self, chunks: Iterator[xr.Dataset], num_trajectories: int) -> None:
        """Make the result of datasets in order, and remove the chunks."""
        result = self._result()
        if result.is_dir():
            shutil.rmtree(result)
        write = _write_zarr if self.path.suffix == ".zarr" else _write_netcdf
        call = json.dumps(self.call)
        with self.writing():
            write(result, (chunk.assign_attrs(call=call) for chunk in chunks), num_trajectories)
            os.replace(result, self.path)
        shutil.rmtree(self.folder)

    def result(self) -> xr.Dataset:
        """The finished result, read as it is used."""
        if self.path.suffix == ".zarr":
            return xr.open_dataset(self.path, engine="zarr", consolidated=False, chunks=None)
        return xr.open_dataset(self.path, engine="h5netcdf")

    def _result(self) -> Path:
        return self.folder / ("result" + self.path.suffix)

    def _chunk(self, first: int) -> Path:
        return self.folder / f"{first:010d}.npz"

    def _write(self, name: str, write: Callable[[Path], Any]) -> None:
        partial = self.folder / (name + ".writing")
        write(partial)
        os.replace(partial, self.folder / name)


def _write_zarr(path: Path, chunks: Iterator[xr.Dataset], num_trajectories: int) -> None:
    next(chunks).to_zarr(path, mode="w", zarr_format=2, consolidated=False)
    for chunk in chunks:
        chunk.to_zarr(path, append_dim="trajectory", consolidated=False)


def _write_netcdf(path: Path, chunks: Iterator[xr.Dataset], num_trajectories: int) -> None:
    import h5netcdf

    first = next(chunks)
    first.to_netcdf(path, engine="h5netcdf", unlimited_dims=["trajectory"])
    with h5netcdf.File(path, "r+") as file:
        file.resize_dimension("trajectory", num_trajectories)
        begin = first.sizes["trajectory"]
        for chunk in chunks:
            end = begin + chunk.sizes["trajectory"]
            for name, variable in chunk.variables.items():
                if "trajectory" in variable.dims:
                    values = variable.values
                    values = values.astype(object) if values.dtype.kind == "U" else values
                    file.variables[str(name)][begin:end] = values
            begin = end
