"""The mathematics of label regularization, and autograd; nothing here imports fairseq.

`labo_loss` and `labo_targets` check their arguments and route to an implementation:

==============  ==================  =====================================================
``impl``        module              what it is
==============  ==================  =====================================================
``reference``   `ops.reference`     dense, written like the formulas; the oracle
``torch``       `ops.chunked`       row chunks, float32 inside, no [N, V] buffer but the
                                    logits' gradient; CPU and GPU
``triton``      `ops.triton_loss`   one read forward, one read and one write backward; CUDA
``auto``        –                   ``torch``
==============  ==================  =====================================================
"""

from fairseq_labo.ops.loss import labo_loss, labo_targets, token_losses
from fairseq_labo.ops.settings import TokenLosses

__all__ = ["TokenLosses", "labo_loss", "labo_targets", "token_losses"]
