"Properties of cleaning and tokens that hold for any text."
import time
import unicodedata

import ftfy
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from ulmtweet.core import ASSETS, EMOJI
from ulmtweet.data import clean as rules
from ulmtweet.data.clean import CleanOptions, clean_text, clean_tweets
from ulmtweet.generation.generate import weighted_length
from ulmtweet.models.tokens import EOT_ID, REPEATS, load_tokenizer, train_char, train_word

SUBWORD = load_tokenizer(ASSETS/"en"/"tokenizer.json")
CHAR = train_char(["The van is late", "the launch isn't"], min_count=1)
WORD = train_word(["The van is late!!!", "the launch isn't @SpaceX's",
                   "no no no no 99999999999 \"100\" (a)"], min_count=1)
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


# what the rules of cleaning look for, whole and in parts
PIECES = ["&amp;", "&", "amp;", "#39;", "https://", "http:// ", "www. ", "t.co/Ab1", "s.example/tea",
          "pic.twitter.com/", "…", "...", "RT @", "QT @a: ", "@maker", "さん", "#tea", "हिन्दी",
          "you?re", "â€™", "\x1b[31m", "\x1b]0;", "\x07", "1/", "2/3", " ", "\n", ".", "\u200b", "🚀", "a"]
MADE = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)
YES_OR_NO = dict.fromkeys(["retweets", "links", "hashtags", "emoji", "line_breaks"], st.booleans())
OPTIONS = st.builds(CleanOptions, handles=st.sampled_from(["keep", "mask", "drop"]), **YES_OR_NO)


@given(MADE, OPTIONS, st.booleans())
def test_cleaning_a_clean_tweet_does_nothing(text, options, lost):
    clean = clean_text(text, options, lost)
    assert clean_text(clean, options, lost) == clean
    # `@a` becomes `@user`; ftfy writes some single signs as three (NFC)
    assert len(clean) <= 3 * len(text) + 5


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\t\n"), max_size=300))
def test_ftfy_has_nothing_to_mend_in_plain_ascii(text):
    assert rules._PLAIN.fullmatch(text)
    assert ftfy.fix_text(text, rules._FTFY) == text


@given(st.lists(MADE, max_size=12), st.booleans())
def test_an_account_of_cleaning_adds_up(texts, is_retweet):
    table = pd.DataFrame(dict(text=[*texts, "Tea at nine"], time=pd.NaT, author="", id="", is_retweet=False,
                              is_reply=False, source_format="lines"))
    table.loc[0, "is_retweet"] = is_retweet and len(texts) > 0
    tweets, report = clean_tweets(table)
    assert report["read"] == report["kept"] + sum(report["dropped"].values()) == len(table)
    assert tweets.text.is_unique and tweets.before.isin(table.text).all()


@pytest.mark.parametrize("piece", [*PIECES, "http:// a.", "http:// a.bc/d e1", "&amp;#", "a-", "(1/", "! RT @a", "!  "])
def test_cleaning_takes_twice_the_time_for_twice_the_text(piece):
    def seconds(n):
        text, best = (piece * n)[:n], 9.0
        for _ in range(3):
            start = time.process_time()
            rules.mend_apostrophes(rules.take_out_quoted(rules.take_out_links(rules.unescape(text))))
            rules.is_cut_off(text), rules.automatic_posts([text], [text]), rules.duplicates([text], [""])
            best = min(best, time.process_time() - start)
        return best
    assert seconds(100_000) < 2.5 * seconds(50_000) + 0.02


@given(st.text(st.characters(max_codepoint=0x10ff)))
def test_light_characters_weigh_one(text):
    text = unicodedata.normalize("NFC", text)
    if "http" not in text and not EMOJI.search(text):
        assert weighted_length(text) == len(text)
