"Properties of cleaning and tokens that hold for any text."
import unicodedata

from hypothesis import given, strategies as st

from ulmtweet.core import ASSETS, EMOJI
from ulmtweet.data.clean import CleanOptions, clean_text
from ulmtweet.generation.generate import weighted_length
from ulmtweet.models.tokens import EOT_ID, REPEATS, load_tokenizer, train_char, train_word

SUBWORD = load_tokenizer(ASSETS/"en"/"tokenizer.json")
CHAR = train_char(["The van is late", "the launch isn't"], min_count=1)
WORD = train_word(["The van is late!!!", "the launch isn't @SpaceX's", "no no no no 99999999999 \"100\" (a)"], min_count=1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("@# <eot>🚀‍é\n\u202e"), max_size=300)


@given(TEXT)
def test_tokens_lose_nothing(text):
    for tokenizer in (SUBWORD, CHAR):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert EOT_ID not in ids and all(0 < i < len(tokenizer) for i in ids)


@given(TEXT)
def test_words_survive_any_text(text):
    ids = WORD.encode(text)
    assert all(0 < i < len(WORD) for i in ids) and 0 <= WORD.spelling_nats(text)
    WORD.decode(ids).encode("utf-8")


@given(st.lists(st.integers(0, len(WORD) - 1), max_size=40))
def test_words_come_out_of_any_ids(ids):
    assert len(WORD.decode(ids)) <= 40 * REPEATS * 20


@given(st.text(max_size=300), st.booleans())
def test_clean_text_is_fit_for_a_model(text, line_breaks):
    clean = clean_text(text, CleanOptions(line_breaks=line_breaks))
    assert clean == clean.strip() and "  " not in clean
    assert line_breaks or "\n" not in clean
    assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    assert not set(clean) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    clean.encode("utf-8")


@given(st.text(st.characters(max_codepoint=0x10ff)))
def test_light_characters_weigh_one(text):
    text = unicodedata.normalize("NFC", text)
    if "http" not in text and not EMOJI.search(text):
        assert weighted_length(text) == len(text)
