"""fairseq_labo: closed-form label regularization for machine translation with fairseq.

``fairseq-train --user-dir fairseq_labo --criterion labo_cross_entropy`` imports this package.
With fairseq it registers the criterions, and with torch it allow-lists the types that fairseq's
checkpoints hold, so that torch's safe loader reads them: at once if they are imported already,
else as soon as they are. So the command ``labo`` prints its help without either, and
`fairseq_labo.ops` and `fairseq_labo.nn` need no fairseq.
"""

from fairseq_labo.environment import after_import

__version__ = "0.2.0"


def _allow_checkpoints() -> None:
    from fairseq_labo.checkpoints import allow_fairseq_checkpoints

    allow_fairseq_checkpoints()


def _register_criterions() -> None:
    import atexit

    from fairseq_labo.criterions import labo_cross_entropy, tsla_cross_entropy  # noqa: F401
    from fairseq_labo.data_buffer import end_buffering
    from fairseq_labo.numpy_names import restore_dropped_names

    atexit.register(end_buffering)
    restore_dropped_names()
    _allow_checkpoints()  # now with fairseq's own types


after_import("torch", _allow_checkpoints)
after_import("fairseq", _register_criterions)
