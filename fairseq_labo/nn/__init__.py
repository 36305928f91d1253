"""Label regularization as plain `torch.nn.Module`s, for training loops outside fairseq.

`LaboLoss` stands where `torch.nn.CrossEntropyLoss` would; `TwoStageSmoothing` puts it into the
first stage of training only. Both are thin: the mathematics is `fairseq_labo.ops.labo_loss`.
"""

from fairseq_labo.nn.labo_loss import LaboLoss
from fairseq_labo.nn.two_stage import TwoStageSmoothing

__all__ = ["LaboLoss", "TwoStageSmoothing"]
