"""Where models are: the files of one, those that come with the package, those of recipes run here."""

from __future__ import annotations

import hashlib
from pathlib import Path

from speechattn.errors import ModelError

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
