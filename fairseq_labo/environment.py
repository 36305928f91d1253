"""Is there a fairseq that can be imported, and if not, what to do."""

import importlib
import importlib.util

FAIRSEQ_DISTRIBUTION = "fairseq-fixed==0.12.3.1"
INSTALL_COMMAND = (
    "pip install torch cython numpy setuptools wheel && "
    f"pip install --no-build-isolation '{FAIRSEQ_DISTRIBUTION}'"
)


class FairseqUnavailable(ImportError):
    """fairseq is missing, or is a distribution that this Python cannot import."""


def fairseq_installed() -> bool:
    """Whether a module `fairseq` can be found (it may still fail to import)."""
    return importlib.util.find_spec("fairseq") is not None


def require_fairseq() -> None:
    """Import fairseq, or raise `FairseqUnavailable` with the command that installs it."""
    if not fairseq_installed():
        raise FairseqUnavailable(
            f"the criterions of fairseq_labo need fairseq, and no module 'fairseq' was found.\n"
            f"Install the distribution that runs on Python 3.11 and later:\n"
            f"    {INSTALL_COMMAND}\n"
            f"(the same as the extra fairseq_labo[fairseq])."
        )
    try:
        importlib.import_module("fairseq")
    except Exception as cause:
        raise FairseqUnavailable(
            f"the installed fairseq cannot be imported: {type(cause).__name__}: {cause}\n"
            f"fairseq 0.12.2 from PyPI does not import on Python 3.11 and later. Replace it:\n"
            f"    pip uninstall -y fairseq && {INSTALL_COMMAND}"
        ) from cause
