"""Golden values of otzyv's own extractors: ``golden/NAME.json``.

python -m tests.tasks.extractors.golden [NAME ...]     writes the files that are missing or of another fingerprint
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from otzyv.tasks.extractors import shipped
from otzyv.tasks.extractors.contract.golden import write
from tests.tasks.extractors.ready import ready

FOLDER = Path(__file__).with_name("golden")
NAMES = (*shipped(), "pca_text_navec", "pca_image_layout")
"""Every extractor of ours, and two that read the vectors of another."""
MADE_BY = "python -m tests.tasks.extractors.golden NAME"


def main(chosen: Sequence[str]) -> int:
    good = True
    for name in chosen or NAMES:
        with ready(name, anywhere=True) as prepared:
            good &= write(prepared, FOLDER, MADE_BY)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
