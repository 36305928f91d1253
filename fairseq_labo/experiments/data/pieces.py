"""Joint byte-pair encoding with SentencePiece, of Moses tokens.

A word's first piece begins with U+2581. No normalization and no loss: the pieces joined are the
tokens. Source: Kudo and Richardson (2018), EMNLP.
"""

import io
from collections import Counter
from functools import cache
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from fairseq_labo.experiments.errors import UserError


def learn_from_counts(counts: Counter[str], model: Path, *, size: int, names: str) -> int:
    """Learn a vocabulary of `size` pieces on words with their `counts`; write it to `model`.

    Returns the number of pieces. Raises UserError when there are fewer words than that takes
    (`names` says where they come from).
    """
    # Words with counts instead of sentences, so that memory does not grow with the text; not out of
    # a file, whose path the model would hold.
    words = (f"{word}\t{count}" for word, count in counts.items())
    trained = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=words,
            input_format="tsv",
            model_writer=trained,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=1 << 20,
            num_threads=1,  # the same pieces on every machine
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{names}: expected text for {size:,} SentencePiece pieces, found too little or too "
            f"many characters ({error}); choose another --bpe-size"
        ) from error
    model.write_bytes(trained.getvalue())
    return int(load_model(str(model)).get_piece_size())


@cache
def load_model(model: str) -> SentencePieceProcessor:
    """Return the encoder of the file `model`, read once in each process."""
    return SentencePieceProcessor(model_file=model)


def encode_with(model: str, line: str) -> str:
    """Return one line of tokens as pieces of `model`."""
    return " ".join(load_model(model).encode(line, out_type=str))
