"""Models and ensembles on disk: a folder with `model.json` and `arrays.npz`. No code, no pickle.

The JSON spells out the model's dataclasses by the names in KINDS and refers to arrays by number; it holds the
checksums of the arrays' file and of its own content. Loading refuses what was changed or cut short after it was
written, and what does not describe a model; it calls nothing but functions that make members, and these dataclasses.
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
from nncore.inference.table import Column
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.serialization.codec import DAMAGES, Encoder, by_name, decode

FORMAT = 3
OF_ARCHIVES = (EOFError, RuntimeError, BadZipFile, SyntaxError, TokenError)  # from zipfile and NumPy's headers
WAY = (Column, Preprocessing, Affine, Quantiles, Pca, Autoencoder)  # from a raw row to the network
MEANING = (ClassDecoder, LabelDecoder, ValueDecoder)
KINDS = (Ensemble, Model, *WAY, Architecture, Layer, Component, *MEANING)


def save(model: Model | Ensemble, folder: Path) -> None:
    """Write the model into a new folder; an array that several members of an ensemble share is there once."""
    folder.mkdir(parents=True)
    encoder = Encoder(by_name(KINDS))
    content = encoder.encode(model)
    np.savez(folder / "arrays.npz", *encoder.arrays)
    checksum = sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    document = {"format": FORMAT, "arrays_sha256": checksum, "model_sha256": _checksum(content), "model": content}
    text = json.dumps(document, indent=1)
    (folder / "model.json").write_text(text, encoding="utf-8")


def load(folder: Path) -> Model | Ensemble:
    """Read a model back. Raises ValueError naming the folder and the cause if it cannot be read."""
    try:
        return _load(folder)
    except (OSError, *OF_ARCHIVES, *DAMAGES) as error:
        raise ValueError(f"{folder} does not hold a model that can be read: {' '.join(str(error).split())}") from None


def _load(folder: Path) -> Model | Ensemble:
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']!r}, this version reads {FORMAT}")
    if sha256((folder / "arrays.npz").read_bytes()).hexdigest() != document["arrays_sha256"]:
        raise ValueError("arrays.npz was changed or cut short after it was written")
    if _checksum(document["model"]) != document["model_sha256"]:
        raise ValueError("model.json was changed after it was written")
    _check_sizes(folder / "arrays.npz")
    with np.load(folder / "arrays.npz", allow_pickle=False) as archive:
        model = decode(document["model"], [archive[name] for name in archive.files], by_name(KINDS))
    if not isinstance(model, Model | Ensemble):
        raise ValueError("model.json describes something else")
    return model


def _check_sizes(path: Path) -> None:
    """Refuse arrays that are not as large as the file says, before there is memory for them."""
    with ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != ZIP_STORED:
                raise ValueError(f"{entry.filename} in arrays.npz is compressed")
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{entry.filename} in arrays.npz is of another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                if dtype.hasobject or file.tell() + prod(shape) * dtype.itemsize != entry.file_size:
                    raise ValueError(f"{entry.filename} in arrays.npz is not as large as it says")


def _checksum(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
