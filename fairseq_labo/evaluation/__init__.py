"""Evaluation: scores with their signatures, calibration, significance, studies, figures.

Used by scripts/evaluate.sh, compare.sh and inspect_labels.sh. The plugin (``--user-dir
fairseq_labo``) never imports this package or what only it needs (matplotlib, jinja2, PyYAML):
those are the extra ``fairseq_labo[eval]``.

It reads the folders that data-prep/ prepares, with the same code that wrote them (`labo_data`).
"""

import importlib.util

if importlib.util.find_spec("labo_data") is None:
    raise ImportError(
        "fairseq_labo.evaluation expected the package labo_data on the path, found none; use "
        "scripts/evaluate.sh, compare.sh and inspect_labels.sh, or add the repository's folder "
        "data-prep/ to PYTHONPATH"
    )
