"""What tells whether a tweet is about a topic? Ways to score real tweets whose topics are known, as JSON.

    python bench/topic.py > bench/results/topic.json

Barack Obama's tweets with certain hashtags, and Elon Musk's with certain words, are asked for in other words; hashtags
and words are removed from what is scored. Every other tweet is learnt from, those between are scored. The data are
people/BarackObama.csv and kaggle/data_elonmusk.csv of ULMTWEET_DATA (default ../shared/data). "area" is that under the
ROC curve, "precision" that of as many tweets as are of the topic (equal scores in a random order), "lift" precision
beside chance. Half a minute on a core.
"""
import json, os, random, re
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.evaluation.style import TopicModel
from ulmtweet.generation.topics import find_topic, said
from ulmtweet.models.bases import load_base

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
TAGS = {"climate change": "actonclimate", "health care": "getcovered|obamacare|acaworks", "trade": "leadontrade|tpp",
        "immigration": "immigrationaction", "Iran": "irandeal", "Supreme Court": "scotus|doyourjob",
        "minimum wage": "raisethewage", "gun violence": "stopgunviolence", "marriage": "loveislove|lovewins"}
WORDS = {"rocket": r"spacex|falcon\w*|dragon|orbit\w*|droneship|merlin", "solar": r"solarcity|powerwall|panels",
         "car": r"tesla\w*|model ?[sx3]|autopilot|supercharg\w*|roadster", "AI": "openai|deepmind|neural"}
# file, what is asked for, what tells that a tweet is of the topic, and what is removed from it
PEOPLE = [("people/BarackObama.csv", TAGS, r"#(?:{})\b", r"#\w+"),
          ("kaggle/data_elonmusk.csv", WORDS, r"\b(?:{})\b", r"[#@]?\b(?:{})\b")]


def embedded(base, texts, rarity):
    "Texts as the mean of their pieces' embeddings, the rarer ones counting more, of length 1."
    table = base.model.emb.weight.detach().numpy()
    table, encoded = table - table.mean(0), [base.tokenizer.encode(t) or [0] for t in texts]
    rows = np.array([(table[ids] * rarity[ids, None]).sum(0) for ids in encoded])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def rarities(base, texts):
    "How much each piece counts."
    ids = [*chain.from_iterable(base.tokenizer.encode_many(texts))]
    counts = np.bincount(ids, minlength=len(base.tokenizer)) + 0.5
    return 1e-3 / (1e-3 + counts / counts.sum())


def lda_rows(model, texts):
    "The share of each topic in each text."
    return model.lda.transform(model.vectorizer.transform(texts))


def measured(scores, right):
    "How well scores tell the right tweets; equal ones in a random order."
    rng, n = random.Random(0), sum(right)
    order = sorted(range(len(right)), key=lambda i: (-scores[i], rng.random()))
    precision = sum(right[i] for i in order[:n]) / n
    return dict(area=float(roc_auc_score(right, scores)), precision=precision, lift=precision * len(right) / n)


def kept(chosen, right):
    "How many are kept, how many of those are right, and how many of the right ones are found."
    both = sum(c and r for c, r in zip(chosen, right))
    return dict(kept=sum(chosen), precision=both / max(sum(chosen), 1), found=both / sum(right))


def rows_of(file, topics, labelled, removed, base):
    "A row for each topic: how well each way does."
    tweets = clean_tweets(read_tweets(DATA/file))[0].text.tolist()
    learnt, asked_about = tweets[::2], tweets[1::2]
    sets = [said(t) for t in dict.fromkeys(learnt)]
    counts, lda, rarity = Counter(chain.from_iterable(sets)), TopicModel(learnt), rarities(base, learnt)
    for topic, words in topics.items():
        right = [bool(re.search(labelled.format(words), t, re.I)) for t in asked_about]
        texts = [re.sub(removed.format(words), " ", t, flags=re.I) for t in asked_about]
        found, about = find_topic(topic, sets, counts), [said(t) for t in texts]
        named = [found.words <= words for words in about]
        scores = {"the word": named,
                  "embedding": embedded(base, texts, rarity) @ embedded(base, [topic], rarity)[0],
                  "LDA": lda_rows(lda, texts) @ lda_rows(lda, [topic])[0],
                  "company": [found.nearness(words) for words in about]}
        chosen = {"the word": named, "the word or its company": [t in found for t in texts]}
        yield dict(file=file, topic=topic, of_it=sum(right), of=len(right),
                   ways={k: measured([*map(float, s)], right) for k, s in scores.items()},
                   kept={k: kept(c, right) for k, c in chosen.items()})


def mean(rows, key):
    "Means over the topics, each way's."
    ways = rows[0][key]
    return {way: {k: round(float(np.mean([r[key][way][k] for r in rows])), 3) for k in ways[way]} for way in ways}


if __name__ == "__main__":
    base = load_base("en")
    rows = [row for person in PEOPLE for row in rows_of(*person, base)]
    chance = dict(area=0.5, precision=round(float(np.mean([r["of_it"] / r["of"] for r in rows])), 3), lift=1.)
    print(json.dumps(dict(mean=dict(chance=chance) | mean(rows, "ways"), kept=mean(rows, "kept"), rows=rows), indent=1))
