"""``python -m speechattn.recipe``: see :mod:`speechattn.training.recipe`."""

from speechattn import process
from speechattn.cli.recipe import main

if __name__ == "__main__":
    process.run(main, "speechattn.recipe")
