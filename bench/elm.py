"""Our tweets and those of Elm's GPT-2 355M, judged by the same classifiers beside the same real ones, as JSON.

    python bench/elm.py [FOLDER] > bench/results/elm.json

Needs the folder elm of ULMTWEET_DATA (default ../shared/data): the real tweets of Elm's people, and 15,000 that its
GPT-2 wrote. The base `en` is fine-tuned on the real ones without 4,000, which it has not read either
(bench/base_en.py leaves them out), and chosen by 130 of these, which it learns at the end; FOLDER keeps the voice.
Then some 4,000 tweets of each system, none with a leading @, are told from as many of these real ones; beside them,
other real tweets: what a perfect imitation scores. First come Elm's own figures, by Elm's own protocol. All piles are
cleaned alike. About 50 minutes on two cores.
"""
import json, os, sys, tempfile, time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB, MultinomialNB

from ulmtweet.data.clean import clean_text
from ulmtweet.data.split import Split
from ulmtweet.evaluation.evaluate import IMITATING, unprompted_tweets
from ulmtweet.evaluation.judge import BEST, real_or_generated
from ulmtweet.generation.originality import CopyIndex, originality
from ulmtweet.models.voice import Voice
from ulmtweet.training.learner import Recipe
from ulmtweet.training.train import keep_voice, prepare_training, run_training

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
N, SEED = 4000, 0
RECIPE = Recipe(lr=4e-3, epochs=10, drop_mult=0.2) # ten times the tweets of one person: less regularisation, more steps
# github.com/Stenke/Elm-GPT-2-Language-Model, tweet-data.ipynb
PUBLISHED = dict(naive_bayes=0.57, random_forest=0.60, tuned_random_forest=0.6252)


def piles():
    """Cleaned, without a leading @ and without twins: 4,000 real tweets to be judged, 4,000 other real ones,
    all that GPT-2 wrote, all real ones."""
    clean = lambda texts: pd.Series([clean_text(t) for t in texts]).loc[
        lambda s: ~s.str.startswith("@") & ~s.str.casefold().duplicated() & (s != "")]
    labelled = pd.read_csv(DATA/"elm"/"modeling_tweets.csv")
    real = clean(labelled.tweet_clean[labelled.label == 1]).sample(2 * N, random_state=SEED).tolist()
    gpt2 = clean(labelled.tweet_clean[labelled.label == 0]).tolist()
    return real[:N], real[N:], gpt2, clean(pd.read_csv(DATA/"elm"/"all_tweets_nom.csv").tweet_nom).tolist()


def without(tweets, held_out):
    "The tweets that are not among those held out, whatever their capitals."
    unseen = {t.casefold() for t in held_out}
    return [t for t in tweets if t.casefold() not in unseen]


def in_parts(matrix, n=250):
    for start in range(0, matrix.shape[0], n):
        yield slice(start, start + n), matrix[start:start + n].toarray()


def as_published():
    """Elm's protocol on Elm's file: 80/20, TF-IDF of one to three words, 200,000 of them, without stop words
    (scikit-learn's; Elm's were NLTK's)."""
    table = pd.read_csv(DATA/"elm"/"modeling_tweets.csv")
    learn, test, y, y_test = train_test_split(table.tweet_clean, table.label, random_state=42, test_size=0.2)
    vectorizer = TfidfVectorizer(stop_words="english", ngram_range=(1, 3), max_features=200_000)
    x, x_test, y = vectorizer.fit_transform(learn), vectorizer.transform(test), y.to_numpy()
    gauss = GaussianNB()
    for rows, dense in in_parts(x): gauss.partial_fit(dense, y[rows], classes=[0, 1])
    gauss_right = np.concatenate([gauss.predict(dense) for _, dense in in_parts(x_test)]) == y_test
    score = lambda model: float(model.fit(x, y).score(x_test, y_test))
    at = table.tweet_clean.str.startswith("@") != (table.label == 1) # says "generated" if there is a leading @
    return dict(published=PUBLISHED, naive_bayes=float(gauss_right.mean()),
                random_forest=score(RandomForestClassifier(100, random_state=42, n_jobs=-1)),
                tuned_random_forest=score(RandomForestClassifier(**BEST, random_state=42, n_jobs=-1)),
                multinomial_naive_bayes=score(MultinomialNB()), leading_at_alone=float(at.mean()))


def progress(status):
    if status["log"] and status["log"][-1]["epoch"] != progress.last:
        progress.last = status["log"][-1]["epoch"]
        print(status["log"][-1], file=sys.stderr, flush=True)


progress.last = 0


def main(folder):
    home = Path(folder)
    real, other, gpt2, everything = piles()
    n, tweets = min(N, len(gpt2)), without(everything, real) # 3,870 of GPT-2's 4,015 are different ones
    np.random.default_rng(SEED).shuffle(tweets) # the file is in blocks by author
    if not (home/"voices"/"elm").exists():
        training = prepare_training(Split(tweets, real[n:], real[:n]), "elm",
                                    recipe=RECIPE, home=home, progress=progress)
        keep_voice(training, run_training(training), home)
    began, voice = time.perf_counter(), Voice.load(home/"voices"/"elm")
    minutes = sum(part["seconds"] for part in [*voice.meta["stages"], voice.meta["newest"]]) / 60
    ours = [t for t in unprompted_tweets(voice, N + 100, seed=SEED) if not t.startswith("@")]
    systems = dict(ulmtweet=ours[:n], gpt2_355m=gpt2[:n], real_against_real=other[:n])
    index, result = CopyIndex(everything), dict(accuracy={}, auc={}, interval={}, copied_share={}, near_copied_share={})
    for name, tweets in systems.items():
        judged = real_or_generated(real[:n], tweets, repeats=1, seed=SEED)
        for key in ("accuracy", "auc", "interval"):
            result[key][name] = {k: np.round(r[key], 4).tolist() for k, r in judged.items()}
        if name != "real_against_real":
            found = originality(tweets, index)
            result["copied_share"][name], result["near_copied_share"][name] = (
                round(found["copies"], 4), round(found["near_copies"], 4))
        print(name, result["accuracy"][name], file=sys.stderr, flush=True)
    result["as_published"] = as_published()
    print(json.dumps(result | dict(
        tweets=n, bits_per_character=voice.meta["metrics"]["test"]["bits_per_character"], sampling=vars(IMITATING),
        training_minutes=round(minutes, 1), examples=dict(ulmtweet=ours[:10], gpt2_355m=gpt2[:10]),
        command="python bench/elm.py", seed=SEED, minutes=round(minutes + (time.perf_counter() - began) / 60, 1)),
        indent=1, ensure_ascii=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary: main(sys.argv[1] if len(sys.argv) > 1 else temporary)
