"""Models and ensembles on disk: a folder with `model.json` and `arrays.npz`. No code, no pickle.

The JSON describes the model's dataclasses by the names in CLASSES and refers to arrays by index; it contains the
checksums of the arrays' file and of its own content. Loading refuses files that were changed or truncated after they
were written, that do not describe a model, or whose numbers are not finite. It reads regular files only, allocates no
more memory than these files are large, and calls nothing but these dataclasses and functions that make components.
"""

import json
import os
from hashlib import sha256
from io import BytesIO
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from nncore.architecture import Architecture, Layer
from nncore.calibration import Calibration
from nncore.components import Component
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, ConformalInterval, LabelDecoder, Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine, NormalQuantiles, Quantiles, SmoothClip
from nncore.inference.spelling import Spelling
from nncore.inference.table import Column
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from nncore.kernels.backend import Array
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.serialization.codec import DECODING_ERRORS, Encoder, by_name, decode
from nncore.serialization.regular_file import open_regular

FORMAT = 8
ARCHIVE_ERRORS = (EOFError, RuntimeError, BadZipFile, SyntaxError, TokenError)  # of zipfile and of NumPy's headers
CLASSES = (
    *(Ensemble, Model, Architecture, Layer, Component),
    *(Column, Spelling, Preprocessing, Affine, Quantiles, NormalQuantiles, SmoothClip, Pca, Autoencoder),
    *(ClassDecoder, LabelDecoder, ValueDecoder, ConformalInterval, Logarithm, YeoJohnson, Calibration),
)


def save(model: Model | Ensemble, folder: Path) -> None:
    """Write a model into a new folder.

    Parameters
    ----------
    model : Model or Ensemble
        An array that several models of an ensemble share is stored once.
    folder : Path
        Must not exist.
    """
    folder.mkdir(parents=True)
    encoder = Encoder(by_name(CLASSES))
    content = encoder.encode(model)
    np.savez(folder / "arrays.npz", *encoder.arrays)
    checksum = sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    document = {"format": FORMAT, "arrays_sha256": checksum, "model_sha256": _checksum(content), "model": content}
    (folder / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def load(folder: str | Path) -> Model | Ensemble:
    """Read a model from its folder.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Model or Ensemble

    Raises
    ------
    ValueError
        Naming the folder and the cause, if the model cannot be read.
    """
    try:
        return _load(Path(folder))
    except (OSError, *ARCHIVE_ERRORS, *DECODING_ERRORS) as error:
        raise ValueError(f"{folder} does not contain a readable model: {' '.join(str(error).split())}") from None


def _load(folder: Path) -> Model | Ensemble:
    document = json.loads(_content(folder / "model.json", b"{").decode("utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(
            f"it has format {document['format']!r} and this version reads format {FORMAT}; publish the model again"
        )
    archive = _content(folder / "arrays.npz", b"PK")
    if sha256(archive).hexdigest() != document["arrays_sha256"]:
        raise ValueError("arrays.npz was changed or truncated after it was written")
    if _checksum(document["model"]) != document["model_sha256"]:
        raise ValueError("model.json was changed after it was written")
    _check_sizes(archive)
    with np.load(BytesIO(archive), allow_pickle=False) as stored:
        arrays = [stored[name] for name in stored.files]
    model = decode(document["model"], arrays, by_name(CLASSES))
    if not isinstance(model, Model | Ensemble):
        raise ValueError("model.json does not describe a model")
    _check_finite(model, arrays)
    return model


def _content(path: Path, begins: bytes) -> bytes:
    """The content of a regular file; b"" if it does not begin as it must, which a file without an end may not."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(begins)) != begins:
            return b""
        file.seek(0)
        try:
            return file.read(size)
        except MemoryError:
            raise ValueError(f"the {size:,} bytes of {path.name} do not fit into memory") from None


def _check_sizes(content: bytes) -> None:
    """Refuse sizes that the archive does not have, before memory is allocated for its arrays."""
    with ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("arrays.npz announces more bytes than it has")
        for entry in entries:
            if entry.compress_type != ZIP_STORED:
                raise ValueError(f"{entry.filename} in arrays.npz is compressed")
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{entry.filename} in arrays.npz has another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                size = file.tell() + prod(shape) * dtype.itemsize
                if dtype.hasobject or min(shape, default=0) < 0 or not size == entry.file_size == entry.compress_size:
                    raise ValueError(f"{entry.filename} in arrays.npz does not have the size that its header announces")


def _check_finite(model: Model | Ensemble, arrays: list[Array]) -> None:
    """Refuse NaN and infinity, but for the NaN of a level without a rank."""
    models = model.models if isinstance(model, Ensemble) else (model,)
    ranks = {id(ranks) for model in models for ranks in model.preprocessing.ranks}
    for index, array in enumerate(arrays):
        if array.dtype.kind in "fc" and id(array) not in ranks and not np.isfinite(array).all():
            raise ValueError(f"array {index} in arrays.npz must hold finite numbers, but holds NaN or infinity")


def _checksum(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
