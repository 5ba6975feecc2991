"""Models and ensembles on disk: a folder with `model.json` and `arrays.npz`. No code, no pickle.

The JSON describes the model's dataclasses by the names in CLASSES and refers to arrays by index; it contains the
checksums of the arrays' file and of its own content. Loading refuses files that were changed or truncated after they
were written, or that do not describe a model. It calls nothing but these dataclasses and functions that make
components.
"""

import json
from hashlib import sha256
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine, Quantiles
from nncore.inference.spelling import Spelling
from nncore.inference.table import Column
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.serialization.codec import DECODING_ERRORS, Encoder, by_name, decode

FORMAT = 5
ARCHIVE_ERRORS = (EOFError, RuntimeError, BadZipFile, SyntaxError, TokenError)  # of zipfile and of NumPy's headers
CLASSES = (
    *(Ensemble, Model, Architecture, Layer, Component),
    *(Column, Spelling, Preprocessing, Affine, Quantiles, Pca, Autoencoder),
    *(ClassDecoder, LabelDecoder, ValueDecoder),
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


def load(folder: Path) -> Model | Ensemble:
    """Read a model from its folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Model or Ensemble

    Raises
    ------
    ValueError
        Naming the folder and the cause, if the model cannot be read.
    """
    try:
        return _load(folder)
    except (OSError, *ARCHIVE_ERRORS, *DECODING_ERRORS) as error:
        raise ValueError(f"{folder} does not contain a readable model: {' '.join(str(error).split())}") from None


def _load(folder: Path) -> Model | Ensemble:
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(
            f"it has format {document['format']!r} and this version reads format {FORMAT}; publish the model again"
        )
    if sha256((folder / "arrays.npz").read_bytes()).hexdigest() != document["arrays_sha256"]:
        raise ValueError("arrays.npz was changed or truncated after it was written")
    if _checksum(document["model"]) != document["model_sha256"]:
        raise ValueError("model.json was changed after it was written")
    _check_sizes(folder / "arrays.npz")
    with np.load(folder / "arrays.npz", allow_pickle=False) as archive:
        model = decode(document["model"], [archive[name] for name in archive.files], by_name(CLASSES))
    if not isinstance(model, Model | Ensemble):
        raise ValueError("model.json does not describe a model")
    return model


def _check_sizes(path: Path) -> None:
    """Refuse arrays whose header announces another size than they have, before memory is allocated for them."""
    with ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != ZIP_STORED:
                raise ValueError(f"{entry.filename} in arrays.npz is compressed")
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{entry.filename} in arrays.npz has another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                if dtype.hasobject or file.tell() + prod(shape) * dtype.itemsize != entry.file_size:
                    raise ValueError(f"{entry.filename} in arrays.npz does not have the size that its header announces")


def _checksum(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
