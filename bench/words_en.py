"""Make ulmtweet/assets/words_en.txt, the 30,000 most frequent words of English Wikipedia.

A tweet may have them though the person never used them.

    python bench/words_en.py > ulmtweet/assets/words_en.txt

Needs the folder wiki of ULMTWEET_DATA (default ../shared/data). A few minutes.
"""
import lzma, os
from collections import Counter
from pathlib import Path

from ulmtweet.generation.words import letters

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))


def main():
    counts = Counter() # in how many paragraphs each word is
    for shard in sorted((DATA/"wiki").glob("*.xz")):
        with lzma.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines: counts.update(letters(line))
    print("\n".join(sorted(word for word, _ in counts.most_common(30_000))))


if __name__ == "__main__":
    main()
