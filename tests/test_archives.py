"Exports as services give them, as zips and folders on the disk: what is read, and what stays closed."
import json, zipfile

import pytest

from ulmtweet.core import DataError
from ulmtweet.data.archives import read_archive
from ulmtweet.data.files import open_collection

WORDS = "the kettle sings again and nobody is to blame for it".split()


def x_file(kind, values, part=0, key="tweet"):
    return f"window.YTD.{kind}.part{part} = {json.dumps([{key: v} for v in values], indent=2)}"


def tweet(number, text, minute=0, **fields):
    return dict(id=str(number), id_str=str(number), full_text=text, retweeted=False, favorite_count="3",
                created_at=f"Sat Feb 18 12:{minute:02}:11 +0000 2023", entities=dict(urls=[]), **fields)


def private(names):
    "Files that would be learnt from, if anybody opened them."
    return {n: x_file("like", [dict(tweetId="1", fullText="Secret " * 9)], key="like") for n in names}


@pytest.fixture
def read(tmp_path):
    "Reads an archive as zip and as folder: the rows, the same both times, and the names of the files that were opened."
    def read(files):
        with zipfile.ZipFile(tmp_path/"a.zip", "w", zipfile.ZIP_DEFLATED) as z:
            for name, text in files.items():
                z.writestr(name, text)
        with zipfile.ZipFile(tmp_path/"a.zip") as z:
            z.extractall(tmp_path/"a")
        (zipped, opened), (unpacked, opened_too) = watched(tmp_path/"a.zip"), watched(tmp_path/"a")
        assert zipped == unpacked and opened == opened_too
        return zipped, opened
    return read


def watched(path):
    collection, opened = open_collection(path), set()
    open_file = collection.open_file
    collection.open_file = lambda name: opened.add(name.rsplit("/")[-1]) or open_file(name)
    return read_archive(collection), opened


def test_x_archive_of_today(read):
    long = " ".join(WORDS * 8)
    edit = dict(edit=dict(initialTweetId="5", editControlInitial=dict(editTweetIds=["5", "6"])))
    link = dict(urls=[dict(url="https://t.co/ab", expanded_url="https://s.example/tea")],
                media=[dict(url="https://t.co/abc")])
    tweets = [tweet(1, "Tea &amp; cake &lt;3"), tweet(2, "RT @ada: scones"),
              tweet(3, "so there", in_reply_to_status_id_str="1", in_reply_to_user_id_str="7"),
              tweet(4, "@ada no", in_reply_to_status_id_str="9", in_reply_to_user_id_str="8"),
              tweet(5, "Teh"), tweet(6, "The", edit_info=edit), tweet(7, f"{long[:270]}… https://t.co/x", minute=30)]
    more = [tweet(8, "read https://t.co/ab https://t.co/abc")]
    more[0]["entities"] = link
    note = dict(noteTweetId="70", createdAt="2023-02-18T12:30:10.600Z", core=dict(text=long, urls=[]))
    counts = dict(dataTypes=dict(tweets=dict(files=[dict(count="7"), dict(count="1")]),
                                 communityTweet=dict(files=[dict(count="1")]),
                                 directMessages=dict(files=[dict(count="500")])))
    files = {"data/manifest.js": "window.__THAR_CONFIG = " + json.dumps(counts),
             "data/account.js": x_file("account", [dict(username="juno", accountId="7")], key="account"),
             "data/tweets.js": x_file("tweets", tweets), "data/tweets-part1.js": x_file("tweets", more, part=1),
             "data/community-tweet.js": x_file("community_tweet", tweets[:1]),
             "data/note-tweet.js": x_file("note_tweet", [note], key="noteTweet")}
    closed = ["direct-messages.js", "direct-messages-group.js", "like.js", "deleted-tweets.js",
              "deleted-tweet-headers.js",
              "tweet-headers.js", "tweetdeck.js", "grok-chat-item.js", "follower.js", "README.txt", "profile.js"]
    found, opened = read({f"twitter-2023/{n}": t for n, t in (files | private("data/" + c for c in closed)).items()})
    rows = {r["id"]: r for r in found.rows}
    assert len(found.rows) == 8 and found.source_format == "x" and {r["author"] for r in found.rows} == {"juno"}
    assert rows["1"]["text"] == "Tea & cake <3" and rows["7"]["text"] == long
    assert rows["8"]["text"] == "read https://s.example/tea"
    assert [i for i, r in rows.items() if r["is_retweet"]] == ["2"]
    assert [i for i, r in rows.items() if r["is_reply"]] == ["4"]
    assert [found.rows[i]["text"] for i in found.damaged] == ["Teh"]
    assert found.notes == ["Tweets that were there again are read once: 1."] # and nothing about the manifest: 9 tweets
    assert opened == {n.split("/")[1] for n in files}


def test_x_archive_that_lost_tweets_says_so(read):
    counts = dict(dataTypes=dict(tweets=dict(files=[dict(count="61")])))
    found, _ = read({"data/manifest.js": "window.__THAR_CONFIG = " + json.dumps(counts),
                     "data/tweets.js": x_file("tweets", [tweet(1, "Tea")])})
    assert found.notes == ["By its own account the archive has 61 tweets, but 1 were found."]


@pytest.mark.parametrize("name", ["tweet.js", "data/tweet.js", "x/data/tweets.js", "data/tweets-part3.js"])
def test_x_archives_of_other_years(read, name):
    text = x_file("tweet", [tweet(1, "Tea"), tweet(2, "Cake")])
    found, _ = read({name: f"\ufeff{text};\n", "README.txt": "Read me"})
    assert [r["text"] for r in found.rows] == ["Tea", "Cake"]


def test_x_archive_by_months(read):
    def month(name, *texts):
        tweets = [dict(id=i, id_str=str(i), text=t, created_at="2016-02-01 10:00:00 +0000")
                  for i, t in enumerate(texts, 10 * len(name))]
        return f"Grailbird.data.{name} = \n {json.dumps(tweets)}"
    files = {"data/js/tweets/2016_02.js": month("tweets_2016_02", "Tea", "Cake"), "data/js/tweets/2015_1.js": "no",
             "data/js/tweet_index.js": "no", "tweets.csv": "no",
             "data/js/tweets/2015_12.js": month("tweets_2015_122", "Scones"),
             "data/js/payload_details.js": 'var payload_details = {"tweets": 3}', "README.txt": "no"}
    found, opened = read(files)
    assert sorted(r["text"] for r in found.rows) == ["Cake", "Scones", "Tea"]
    assert found.notes == [] and opened == {"2016_02.js", "2015_12.js", "payload_details.js"}


def test_x_archive_without_tweets_is_refused(read):
    with pytest.raises(DataError, match="no tweets are in it"):
        read(private(["data/like.js", "data/manifest.js"]) | {"data/README.txt": "Tea\nCake\n"})
    with pytest.raises(DataError, match="tweets.js is cut off"):
        read({"data/tweets.js": x_file("tweets", [tweet(1, "Tea")])[:-40], "data/README.txt": "Tea\nCake\n"})


def test_mastodon_archive(read):
    public, followers = "https://www.w3.org/ns/activitystreams#Public", "https://s.example/users/juno/followers"
    def post(text, to, cc=()):
        note = dict(type="Note", content=f"<p>{text}</p><p>#<span>tea</span></p>", published="2024-01-02T10:00:00Z",
                    to=to, cc=list(cc), summary="food")
        return dict(type="Create", published=note["published"], to=to, cc=list(cc), object=note)
    boost = dict(type="Announce", published="2024-01-03T10:00:00Z", to=[public], object="https://s.example/users/ada/1")
    items = [post("Tea", [public]), post("Cake", [followers], [public]), boost,
             post("Mine", [followers]), post("Ada's", ["ada"])]
    found, opened = read({"outbox.json": json.dumps(dict(type="OrderedCollection", totalItems=5, orderedItems=items)),
                          "actor.json": json.dumps(dict(preferredUsername="juno")),
                          "likes.json": "no", "bookmarks.json": "no"})
    assert [r["text"] for r in found.rows] == ["Tea\n\n#tea", "Cake\n\n#tea", "https://s.example/users/ada/1"]
    assert [r["is_retweet"] for r in found.rows] == [False, False, True] and found.rows[0]["author"] == "juno"
    assert found.notes == ["Posts that aren't public were left out: 2."] and opened == {"outbox.json", "actor.json"}


def test_threads_export(read):
    escaped = "café 🚀".encode().decode("latin-1")
    posts = [dict(media=[dict(uri="", creation_timestamp=1704189600 + i, title=t, text_app_post=dict(is_reply=i == 1))])
             for i, t in enumerate([escaped, "and cake"])]
    posts = json.dumps(dict(text_post_app_text_posts=posts))
    found, opened = read({"your_instagram_activity/threads/threads_and_replies.json": posts,
                          "your_instagram_activity/threads/liked_threads.json": "no",
                          "your_instagram_activity/messages/inbox/ada/message_1.json": "no"})
    assert [(r["text"], r["time"]) for r in found.rows] == [("café 🚀", 1704189600), ("and cake", 1704189601)]
    assert [r["is_reply"] for r in found.rows] == [False, True]
    assert opened == {"threads_and_replies.json"}


def test_no_archive_is_left_to_others(read):
    assert read({"tweets.csv": "text\nTea\n", "notes/README.md": "no"}) == (None, set())
    assert read({"2019_01.js": "var a = 1", "mytweets.json": "[]"}) == (None, set())
