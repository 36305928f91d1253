"""What a language's name says of its rules: ``zh_CN``, ``zho_Hans`` and ``cmn`` are all ``zh``."""

import re

# By three letters, as FLORES has them, the languages for which sacremoses has rules of their own,
# sacreBLEU has a tokenizer, or neither can part the words. Source: ISO 639-2 and 639-3.
TWO_LETTERS = {
    "asm": "as", "ben": "bn", "bod": "bo", "cat": "ca", "ces": "cs", "cmn": "zh", "cze": "cs",
    "deu": "de", "dut": "nl", "ell": "el", "eng": "en", "est": "et", "fin": "fi", "fra": "fr",
    "fre": "fr", "ger": "de", "gle": "ga", "gre": "el", "guj": "gu", "hin": "hi", "hun": "hu",
    "ice": "is", "isl": "is", "ita": "it", "jpn": "ja", "kan": "kn", "khm": "km", "kor": "ko",
    "lao": "lo", "lav": "lv", "lit": "lt", "lvs": "lv", "mal": "ml", "mar": "mr", "mya": "my",
    "nld": "nl", "ori": "or", "ory": "or", "pan": "pa", "pol": "pl", "por": "pt", "ron": "ro",
    "rum": "ro", "rus": "ru", "slk": "sk", "slo": "sk", "slv": "sl", "spa": "es", "swe": "sv",
    "tam": "ta", "tel": "te", "tet": "tdt", "tha": "th", "tib": "bo", "zho": "zh", "chi": "zh",
    "bur": "my",
}  # fmt: skip
OWN_TOKENIZER = {"zh", "ja", "ko"}  # sacreBLEU's; of all others its tokenizer is 13a
# Written without spaces between words, and sacreBLEU has no tokenizer for them but 13a.
UNSPACED = {
    "th": "Thai", "lo": "Lao", "km": "Khmer", "my": "Burmese", "bo": "Tibetan", "yue": "Cantonese",
}  # fmt: skip


def short_code(language: str) -> str:
    """The language without its region or script (``zh_CN`` is ``zh``), by two letters if known.

    It is what Moses and sacreBLEU know it by: for another name they take their general rules.
    """
    code = re.split("[-_]", language.lower())[0]
    return TWO_LETTERS.get(code, code)
