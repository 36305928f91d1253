"""The rules that belong to a language's name."""

import sacremoses
from sacrebleu.metrics import BLEU

from fairseq_labo.experiments.languages import OWN_TOKENIZER, TWO_LETTERS, UNSPACED, short_code


def test_codes_of_languages() -> None:
    codes = {"en": "en", "zh_CN": "zh", "zho_Hans": "zh", "pt-BR": "pt", "JPN": "ja", "tlh": "tlh"}
    codes |= {"eng_Latn": "en", "kor_Hang": "ko", "tha_Thai": "th", "yue_Hant": "yue"}
    assert {language: short_code(language) for language in codes} == codes


def test_every_language_with_rules_of_its_own_has_its_three_letters() -> None:
    of_moses = set(sacremoses.corpus.NonbreakingPrefixes().available_langs.values())
    three = {code for code in of_moses if len(code) == 3}
    assert (of_moses | OWN_TOKENIZER | UNSPACED.keys()) - three - {"yue"} <= {*TWO_LETTERS.values()}
    assert not TWO_LETTERS.keys() & of_moses


def test_sacrebleu_has_tokenizers_for_those_named() -> None:
    assert BLEU(trg_lang="zh").tokenizer.signature() == "zh"
    for code in UNSPACED:
        assert BLEU(trg_lang=code).tokenizer.signature() == "13a"
