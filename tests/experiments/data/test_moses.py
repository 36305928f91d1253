"""Moses tokens, written by hand after the rules of Moses' tokenizer.perl."""

import pytest

from fairseq_labo.experiments.data.moses import (
    TokenizerOptions,
    detokenize,
    fold_white_space,
    lowercase,
    normalize_punctuation,
    tokenize,
    tokenize_with,
)

GOLDEN = [
    ("en", "A man's dog isn't here.", "A man &apos;s dog isn &apos;t here ."),
    ("en", "the dogs' bowl", "the dogs &apos; bowl"),
    ("en", "rock 'n' roll in the '90s", "rock &apos; n &apos; roll in the &apos; 90s"),
    ("en", "A 12-year-old boy - alone.", "A 12-year-old boy - alone ."),
    ("en", 'She says "Hi!"', "She says &quot; Hi ! &quot;"),
    ("en", "AT&T costs $5,300 [sic].", "AT &amp; T costs $ 5,300 &#91; sic &#93; ."),
    ("en", "a < b > c | d", "a &lt; b &gt; c &#124; d"),
    ("en", "Mr. Smith, wait... Why?", "Mr. Smith , wait ... Why ?"),
    ("de", "Ein Mann, der „Hallo“ sagt.", "Ein Mann , der „ Hallo “ sagt ."),
    ("de", "Peter's T-Shirt ist blau-weiß!", "Peter &apos; s T-Shirt ist blau-weiß !"),
    ("de", 'Das "Auto" & der Hund', "Das &quot; Auto &quot; &amp; der Hund"),
    ("de", "Dr. Groß kam am 3. Mai um 9.30 Uhr.", "Dr. Groß kam am 3. Mai um 9.30 Uhr ."),
    ("de", "(Äpfel; Öl: 1.000,50 €)", "( Äpfel ; Öl : 1.000,50 € )"),
    ("de", "schon &amp; escaped", "schon &amp; amp ; escaped"),
]

ROUND_TRIPS = [
    ("en", "A man in an orange hat starring at something."),
    ("en", "Don't touch the dogs' 12-year-old \"toy\" & 5,300 others..."),
    ("en", "He said 'no.'"),
    ("en", "People (two of them) are fixing the roof: a house?"),
    ("de", "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt."),
    ("de", "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."),
    ("de", 'Ein Schild mit der Aufschrift "Nur für Mitglieder" & mehr.'),
    ("de", "Fünf Leute in T-Shirts; einer (links) winkt!"),
]

# U+0001 is no white space: Moses drops it, so the neighbours join.
ODD_CHARACTERS = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u00a0"]
ODD_CHARACTERS += ["\u2028", "\u2029", "\u3000"]


@pytest.mark.parametrize(("language", "text", "tokens"), GOLDEN)
def test_golden_tokens(language: str, text: str, tokens: str) -> None:
    assert tokenize(text, language=language) == tokens


@pytest.mark.parametrize(("language", "text"), ROUND_TRIPS)
def test_detokenize_inverts_tokenize(language: str, text: str) -> None:
    tokens = tokenize(text, language=language)
    assert tokens != text
    assert detokenize(tokens, language=language) == text


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        ("en", "en_US", "Don't touch Tom's dogs."),
        ("en", "eng_Latn", "It's the dogs' bowl."),
        ("fr", "fr_FR", "L'homme n'est pas là !"),
        ("de", "de_DE", "Er sagt z. B. nichts."),
        ("de", "DE", "Dr. Groß kam am 3. Mai."),
        ("ko", "ko_KR", "나는 학교에 55번 갔다."),
    ],
)
def test_a_region_or_script_changes_no_rule(code: str, name: str, text: str) -> None:
    tokens = tokenize(text, language=code)
    assert tokenize(text, language=name) == tokens != text
    assert detokenize(tokens, language=name) == detokenize(tokens, language=code) == text
    quoted = "„Ja“, 1,5 %"
    assert normalize_punctuation(quoted, language=name) == normalize_punctuation(
        quoted, language=code
    )


def test_detokenize_unescapes_each_entity_once() -> None:
    assert detokenize("a &amp;lt; b &#124; &lt;", language="de") == "a &lt; b | <"


@pytest.mark.parametrize("character", ODD_CHARACTERS, ids=ascii)
def test_white_space_of_any_kind_becomes_one_space(character: str) -> None:
    text = f"{character}ein{character}Hund {character} bellt{character}"
    assert tokenize(text, language="de") == "ein Hund bellt"


def test_control_characters_and_empty_lines() -> None:
    assert tokenize("Hu\x01nd\x00", language="de") == "Hund"
    for empty in ("", " ", "\x0c", "\x01"):
        assert tokenize(empty, language="en") == ""
    assert detokenize("", language="en") == ""


def test_no_token_looks_like_a_subword_or_a_symbol_of_fairseq() -> None:
    tokens = tokenize("x@@ y <unk> </s> a@-@b", language="en").split(" ")
    assert not [token for token in tokens if "@@" in token or token in ("<unk>", "</s>", "@-@")]


# Where tokenizer.perl of today differs from the one that sacremoses follows: the last word.
FINAL_PERIODS = [
    ("en", "He lives in the U.S.", "He lives in the U.S ."),
    ("en", "The U.S. is big, etc.", "The U.S. is big , etc ."),
    ("en", "That is No. 5.", "That is No. 5 ."),
    ("en", "Wait...", "Wait ..."),
    ("en", "Wait ....", "Wait ...."),
    ("en", "No.", "No ."),
    ("en", ".", "."),
    ("en", "'I'm at 5 p.m.'", "&apos;I &apos;m at 5 p.m . &apos;"),
    ("de", "Äpfel, Birnen usw.", "Äpfel , Birnen usw ."),
    ("fr", "J'habite à l'E.N.S.", "J&apos; habite à l&apos; E.N.S ."),
]

# By hand after normalize-punctuation.perl, which sees the line break, and
# remove-non-printing-char.perl.
NORMALIZED = [
    ("en", "„Hello“ – she said…", '"Hello" - she said...'),
    ("en", "It’s the dogs’ bowl", "It's the dogs\" bowl"),
    ("en", 'He said "yes".', 'He said "yes."'),
    ("de", 'Er sagte "ja".', 'Er sagte "ja".'),
    ("de", 'Er sagte "ja."', 'Er sagte "ja".'),
    ("de", '"Ja," sagte er.', '"Ja", sagte er.'),
    ("fr", "«\u00a0Oui\u00a0» « Non »", '"Oui" " Non "'),
    ("en", "1\u00a0000 and 50 %", "1.000 and 50%"),
    ("de", "1\u00a0000 und 50 %", "1,000 und 50%"),
    ("en", "a(b)c", "a (b) c"),
    ("en", "zero\u200bwidth soft\u00adhyphen\ufeff", "zero width soft hyphen "),
    ("en", "bell\x07 car\rriage", "bell  carriage"),
]


@pytest.mark.parametrize(("language", "text", "tokens"), FINAL_PERIODS)
def test_final_period_as_in_perl_today(language: str, text: str, tokens: str) -> None:
    options = TokenizerOptions(language, split_final_period=True)
    assert tokenize_with(options, text) == tokens


def test_final_period_as_in_sacremoses() -> None:
    assert tokenize("He lives in the U.S.", language="en") == "He lives in the U.S."


@pytest.mark.parametrize(("language", "text", "normalized"), NORMALIZED)
def test_normalized_as_in_perl(language: str, text: str, normalized: str) -> None:
    assert normalize_punctuation(text, language=language) == normalized


def test_steps_in_the_order_of_the_recipe() -> None:
    options = TokenizerOptions(
        "en", normalize=True, aggressive_hyphens=True, split_final_period=True
    )
    text = "A well-known “fact” – in the U.S."
    assert tokenize_with(options, text) == ("A well @-@ known &quot; fact &quot; - in the U.S .")
    assert tokenize_with(TokenizerOptions("en", straight_apostrophes=True), "it’s") == (
        "it &apos;s"
    )
    assert fold_white_space(" a\u00a0&amp; b\x85") == "a &amp; b"
    assert detokenize("A well @-@ known fact .", language="en") == "A well-known fact."


@pytest.mark.parametrize("language", ["de", "en", "fr"])
def test_tokens_equal_those_of_sacremoses_itself(language: str) -> None:
    from sacremoses import MosesTokenizer

    plain = MosesTokenizer(language)
    texts = [text for _, text, _ in GOLDEN + FINAL_PERIODS + NORMALIZED]
    texts += ["Dr. Who is at No. 7. ok Z. B. am 3. Mai. Und...", "M. Dupont a l'âge. d'A.B. c"]
    for text in texts:
        assert tokenize(text, language=language) == " ".join(plain.tokenize(text))


def test_lowercase_is_perls() -> None:
    assert lowercase("ΟΔΟΣ Straße ÄÖ İ") == "οδοσ straße äö i̇"


def test_a_language_that_moses_does_not_know() -> None:
    assert tokenize("Jambo, dunia!", language="swh_Latn") == "Jambo , dunia !"
    assert detokenize("Jambo , dunia !", language="swh_Latn") == "Jambo, dunia!"
