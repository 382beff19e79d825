"""``python -m otzyv.tasks.extractors.contract NAME ... --folder tests/golden`` writes golden values."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from otzyv.tasks.extractors.contract.golden import write
from otzyv.tasks.extractors.contract.ready import ready


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--folder", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(names: Sequence[str], folder: Path) -> None:
    """Write the golden values of extractors into FOLDER, where they are missing or of another fingerprint."""
    good = True
    for name in names:
        with ready(name) as prepared:
            good &= write(prepared, folder)
    sys.exit(not good)


if __name__ == "__main__":
    main()
