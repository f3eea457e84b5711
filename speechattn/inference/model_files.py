"""Where models are: the files of one, those that come with the package, those of recipes run here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

import speechattn
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.errors import ModelError, SpeechattnError
from speechattn.files import replace_folder
from speechattn.text import one_line

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "MODEL_CARD.md"
MODELS = Path(__file__).parents[1] / "pretrained"  # that come with the package


def find_model(name_or_dir: str | Path) -> Path:
    """The folder of a model.

    Args:
        name_or_dir: the folder itself, the name of a model that comes with the package, or the
            name of a recipe that was run here (then it is ``data/runs/NAME/model``).

    Raises:
        ModelError: if there is none.
    """
    path = Path(name_or_dir)
    places = [path]
    if len(path.parts) == 1:
        places += [MODELS / path, Path("data/runs") / path / "model"]
    for place in places:
        if (place / CONFIG).is_file():
            return place
    if (path / "model" / CONFIG).is_file():
        raise ModelError(f"{path}: not a model folder, but holds one; give {path / 'model'}")
    raise ModelError(
        f"{path}: no model folder (one that holds {CONFIG} and {WEIGHTS}), nor the name of a "
        "recipe that was run here; the recipe writes its model to work_dir/model"
    )


def model_digest(folder: Path) -> str:
    """SHA-256 of a model's configuration and weights, in hexadecimal.

    Raises:
        ModelError: if they cannot be read.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        try:
            with open(folder / name, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
        except OSError as error:
            raise ModelError(
                f"{folder / name}: cannot be read ({error.strerror}); export the model again"
            ) from None
    return digest.hexdigest()


FORMAT = "speechattn-model"
FORMAT_VERSION = 6  # raised when an older program could not run what a newer one writes

# How the names of what lies beside the weights begin, and what it is.
BESIDE = {"grammar.": ("ngrams", PhoneNgrams), "words.": ("words", WordNgrams)}


@contextlib.contextmanager
def damage_named(folder: Path, way_out: str) -> Iterator[None]:
    """Turn what goes wrong with the configuration of a model folder into a ModelError of one line."""
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
    config: dict,
    model: torch.nn.Module,
    dtype: torch.dtype | None = None,
    beside: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model folder, whole or not at all; a model that is there is replaced.

    Args:
        folder: where to.
        kind: what is said to be in it, such as :data:`FORMAT`.
        config: all else it takes to make the model, JSON values.
        model: whose weights are written.
        dtype: of its parameters in the file; None for their own.
        beside: more to write into the same file, as it is; of the same name, instead.

    Raises:
        ModelError: if the name is taken by something that is no model folder.
    """
    folder = Path(folder).resolve()  # a link to a model stays one
    if folder.exists() and not _may_replace(folder):
        raise ModelError(f"{folder}: is there and no model; remove it or give another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        head = {"format": kind, "format_version": FORMAT_VERSION}
        head["speechattn"] = speechattn.__version__
        (partial / CONFIG).write_text(_readable_json({**head, **config}), encoding="utf-8")
        trained = {name for name, _ in model.named_parameters()}
        plain = {
            k: (v.to(dtype) if dtype and k in trained else v).cpu().contiguous()
            for k, v in model.state_dict().items()
        }
        # Not save_file, whose file nobody else may read.
        (partial / WEIGHTS).write_bytes(save({**plain, **(beside or {})}))
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_model_config(folder: Path, kind: str) -> dict:
    """What :func:`write_model` wrote beside the weights.

    Raises:
        ModelError: if it is not there, is damaged, of another kind, or of a newer program.
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


def _read_card(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None


def read_weights(
    path: Path, shapes: dict[str, torch.Tensor], beside: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """The weights, which must have the shapes of these tensors (whose values do not matter).

    Args:
        path: of the file.
        shapes: name → tensor.
        beside: what else may be there, of any shape, if its name begins with one of these.

    Raises:
        ModelError: if they have not, or cannot be read.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    wanted = {k: tuple(v.shape) for k, v in shapes.items()}
    found = {k: tuple(v.shape) for k, v in weights.items() if not k.startswith(beside)}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ModelError(
                f"{path}: {name} has shape {found.get(name)}, where {CONFIG} says "
                f"{wanted.get(name)}; the two files do not belong together"
            )
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds NaN or Inf; export the model again")
    return weights


def _may_replace(folder: Path) -> bool:
    """Whether a save may take the place of what is there: a model, or an empty folder."""
    return folder.is_dir() and ((folder / CONFIG).is_file() or not any(folder.iterdir()))


def _readable_json(config: dict) -> str:
    """JSON with a line for every key but none for every number of a matrix."""
    lines = []
    for key, value in config.items():
        if isinstance(value, dict):
            inner = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            text = "{\n" + ",\n".join(inner) + "\n  }" if inner else "{}"
        else:
            text = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
