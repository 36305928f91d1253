"""fairseq_labo: closed-form label regularization for machine translation with fairseq.

``fairseq-train --user-dir fairseq_labo --criterion labo_cross_entropy`` imports this package.
Importing it registers the criterions (where fairseq is installed) and allow-lists the types
that fairseq's checkpoints hold, so that torch's safe loader reads them. `fairseq_labo.ops`
needs no fairseq.
"""

import warnings

from fairseq_labo.checkpoints import allow_fairseq_checkpoints
from fairseq_labo.environment import FairseqUnavailable, fairseq_installed

__version__ = "0.1.0"

try:
    from fairseq_labo.criterions import labo_cross_entropy, tsla_cross_entropy  # noqa: F401
except FairseqUnavailable as error:
    # fairseq_labo.ops works all the same; but a fairseq that is there and broken is news.
    if fairseq_installed():
        warnings.warn(str(error), stacklevel=2)

allow_fairseq_checkpoints()
