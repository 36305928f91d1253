"""Random batches for fairseq's trainer."""

import argparse
import itertools

import pytest
import torch

from benchmarks import trainer


def test_batches_are_random_padded_and_the_same_each_time() -> None:
    class Words:
        nspecial = 4

        def pad(self) -> int:
            return 1

        def eos(self) -> int:
            return 2

        def __len__(self) -> int:
            return 90

    first, second = ([*itertools.islice(trainer.batches(Words(), 320), 2)] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        target, inputs = one["target"], one["net_input"]
        assert torch.equal(target, other["target"]) and target.shape == (10, 32)
        assert one["ntokens"] == int(target.ne(1).sum()) < target.numel()
        assert (target.eq(2).sum(1) == 1).all()  # one </s>, before the padding
        assert torch.equal(inputs["prev_output_tokens"][:, 0], torch.full((10,), 2))
        assert int(target.max()) < 90
        assert torch.equal(inputs["src_lengths"], inputs["src_tokens"].ne(1).sum(1))
    assert not torch.equal(first[0]["target"], first[1]["target"])


@pytest.mark.parametrize(("size", "width"), [("small", 128), ("iwslt", 512)])
def test_the_model_is_that_of_the_size(size: str, width: int) -> None:
    options = argparse.Namespace(size=size, vocab_size=90)
    flags = ["--criterion", "labo_cross_entropy"]
    config, _ = trainer.configure(flags, options, "fp32", device="cpu")
    assert config.model.decoder_embed_dim == width
