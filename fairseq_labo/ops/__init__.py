"""The mathematics of label regularization, and autograd; nothing here imports fairseq.

`labo_loss` and `labo_targets` check their arguments and route to an implementation:

==============  ==================  =====================================================
``impl``        module              what it is
==============  ==================  =====================================================
``reference``   `ops.reference`     dense, written like the formulas; the oracle
``torch``       `ops.chunked`       row chunks, float32 inside, no [N, V] buffer but the
                                    logits' gradient; CPU and GPU
``triton``      `ops.triton_loss`   one read forward, one read and one write backward; CUDA
``auto``        `ops.dispatch`      ``torch``; on CUDA ``triton`` where it runs and agrees
==============  ==================  =====================================================

`labo_linear_loss` fuses the loss with the output projection (`ops.chunked_linear`), so that the
logits are never held as a whole.
"""

from fairseq_labo.ops.linear_loss import labo_linear_loss, linear_token_losses
from fairseq_labo.ops.loss import labo_loss, labo_targets, token_losses
from fairseq_labo.ops.settings import TokenLosses

__all__ = [
    "TokenLosses",
    "labo_linear_loss",
    "labo_loss",
    "labo_targets",
    "linear_token_losses",
    "token_losses",
]
