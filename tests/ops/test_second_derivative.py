"""The derivative that only the reference has is an error elsewhere."""

import pytest
import torch

from fairseq_labo.ops import labo_loss
from tests.ops.test_reference import random_case


def test_second_derivatives_elsewhere_are_refused() -> None:
    logits, target = random_case(num_tokens=2, vocab_size=4)
    logits.requires_grad_()
    loss = labo_loss(logits, target, label_smoothing=0.3, beta=2.0, impl="torch")
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match='impl="reference"'):
        gradient.square().sum().backward()
