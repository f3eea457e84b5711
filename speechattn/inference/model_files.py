"""Model folders: where they are, and how their files are written and read.

PyTorch is imported where weights are written or read: the command line finds a model without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import speechattn
from speechattn.errors import ModelError, SpeechattnError
from speechattn.files import atomic_folder, is_file
from speechattn.inference.model_tensors import packed_tensors
from speechattn.text import one_line

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "MODEL_CARD.md"
MODELS = Path(__file__).parents[1] / "pretrained"  # models that come with the package
RUNS = Path("data/runs")  # of recipes, below the current folder
FORMAT = "speechattn-model"  # of models of phones
HEAD_FORMAT = "speechattn-head-model"  # of models of one label, or a string of labels
FORMAT_VERSION = 11  # raised when an older program could not run what a newer one writes


def find_model(name_or_dir: str | Path) -> Path:
    """Return the folder of a model.

    Args:
        name_or_dir: the folder itself, the name of a model that comes with the package, or the
            name of a recipe that was run here (then it is ``data/runs/NAME/model``).

    Raises:
        ModelError: if there is none.
    """
    path = Path(name_or_dir)
    folders = [path]
    if len(path.parts) == 1:
        folders += [MODELS / path, RUNS / path / "model"]
    for folder in folders:
        if is_file(folder / CONFIG):
            return folder
    if is_file(path / "model" / CONFIG):
        raise ModelError(f"{path}: not a model folder, but holds one; give {path / 'model'}")
    raise ModelError(
        f"{path}: no model folder (one that holds {CONFIG} and {WEIGHTS}), and none of the names "
        f"that there are here: {', '.join(model_names())}"
    )


def model_names() -> list[str]:
    """Names that :func:`find_model` knows: those in the package, and of recipes that were run."""
    packaged = {path.parent.name for path in MODELS.glob(f"*/{CONFIG}")}
    trained = {path.parents[1].name for path in RUNS.glob(f"*/model/{CONFIG}")}
    return sorted(packaged | trained)


def model_digest(folder: Path) -> str:
    """Return the SHA-256 of the files that a model is read from, in hexadecimal.

    These are its configuration, its weights and, if they are in another file, its words.

    Raises:
        ModelError: if they cannot be read.
    """
    digest = hashlib.sha256()
    for path in model_files(folder).all:
        try:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
        except OSError as error:
            raise ModelError(
                f"{path}: cannot be read ({error.strerror}); export the model again"
            ) from None
    return digest.hexdigest()


class ModelFiles(NamedTuple):
    """The files that a model is read from.

    Attributes:
        config: its configuration.
        weights: its weights.
        words: its n-grams and words; the file of the weights, if they are there.
    """

    config: Path
    weights: Path
    words: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """Each of them once."""
        return tuple(dict.fromkeys(self))


def model_files(folder: Path) -> ModelFiles:
    """Return the files that a model is read from.

    The configuration may name a model beside this one in ``weights_of``, whose weights and words
    it has, and one in ``words_of``, whose words it has.

    Raises:
        ModelError: if it names no folder beside this one.
    """
    config = folder / CONFIG
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        names = {key: values.get(key) for key in ("weights_of", "words_of")}
    except (OSError, ValueError, AttributeError, RecursionError):
        names = {}  # what is wrong is said where the configuration is read
    beside = {}
    for key, name in names.items():
        if name is None:
            continue
        if not _is_file_name(name):
            raise ModelError(
                f"{config}: {key} is {name!r}; the name of a model folder beside this one"
            )
        beside[key] = folder.resolve().parent / name / WEIGHTS
    weights = beside.get("weights_of", folder / WEIGHTS)
    words = beside.get("words_of", weights)
    return ModelFiles(config, weights, weights if words == weights.resolve() else words)


def _is_file_name(name: object) -> bool:
    if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name:
        return False
    half_a_pair = any("\ud800" <= letter <= "\udfff" for letter in name)  # which JSON may hold
    return Path(name).name == name and not half_a_pair


@contextlib.contextmanager
def damage_named(folder: Path, way_out: str) -> Iterator[None]:
    """Turn errors in the configuration of a model folder into a ModelError of one line.

    Args:
        folder: the model folder.
        way_out: what the user can do, the end of the message.
    """
    try:
        yield
    except KeyError as error:
        raise ModelError(f"{folder / CONFIG}: no key {error}; {way_out}") from None
    except (SpeechattnError, TypeError, ValueError, AttributeError, RuntimeError,
            ArithmeticError, MemoryError) as error:  # fmt: skip
        raise ModelError(f"{folder / CONFIG}: {one_line(str(error))}; {way_out}") from None


def write_model(
    folder: str | Path,
    kind: str,
    config: dict[str, Any],
    model: torch.nn.Module,
    dtype: torch.dtype | None = None,
    beside: dict[str, torch.Tensor] | None = None,
    small: bool = False,
) -> None:
    """Write a model folder, whole or not at all; a model that is there is replaced.

    Args:
        folder: the model folder.
        kind: name of the format, such as :data:`FORMAT`.
        config: everything else that is needed to make the model, as JSON values.
        model: its weights are written.
        dtype: of its parameters in the file; None for their own.
        beside: further tensors for the same file, unchanged; they replace weights of their name.
        small: deflate what becomes smaller by it (:mod:`speechattn.deflated`).

    Raises:
        ModelError: if the name is taken by something that is no model folder.
    """
    folder = Path(folder).resolve()  # a link to a model stays one
    if folder.exists() and not may_replace(folder):
        raise ModelError(f"{folder}: is there and no model; remove it or give another folder")
    with atomic_folder(folder, shared=True) as partial:
        head = {"format": kind, "format_version": FORMAT_VERSION}
        head["speechattn"] = speechattn.__version__
        (partial / CONFIG).write_text(readable_json({**head, **config}), encoding="utf-8")
        trained = {name for name, _ in model.named_parameters()}
        plain = {
            k: (v.to(dtype) if dtype and k in trained else v).cpu().contiguous()
            for k, v in model.state_dict().items()
        }
        # Not save_file: it makes a file that other users may not read.
        (partial / WEIGHTS).write_bytes(packed_tensors({**plain, **(beside or {})}, small))


def read_model_config(folder: Path, kind: str) -> dict[str, Any]:
    """Read the configuration that :func:`write_model` wrote.

    Args:
        folder: the model folder.
        kind: name of the format that it must have.

    Raises:
        ModelError: if it is missing, damaged, of another kind, or of a newer program.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {folder} is not a model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    if not isinstance(config, dict) or config.get("format") != kind:
        raise ModelError(f"{path}: not the configuration of a {kind}; give another folder")
    version = config.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version!r}, written by speechattn "
            f"{config.get('speechattn')}; this is {speechattn.__version__} and reads up to "
            f"version {FORMAT_VERSION}: upgrade speechattn"
        )
    return config


def model_format(folder: Path) -> str | None:
    """Return the kind of a model folder, such as :data:`FORMAT`; None if it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return config.get("format")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def read_card(path: Path) -> str | None:
    """Read a model card, a text for people; None if there is none.

    Raises:
        ModelError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None


def may_replace(folder: Path) -> bool:
    """Whether a model may replace this folder: it holds a model, or nothing."""
    return folder.is_dir() and ((folder / CONFIG).is_file() or not any(folder.iterdir()))


def readable_json(config: dict[str, Any]) -> str:
    """Return JSON with a line for every key, but not for every number of a matrix."""
    lines = []
    for key, value in config.items():
        if isinstance(value, dict):
            inner = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            text = "{\n" + ",\n".join(inner) + "\n  }" if inner else "{}"
        else:
            text = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
