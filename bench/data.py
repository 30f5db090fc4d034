"""How fast is a large file read and cleaned? A million rows beside plain pandas, as JSON.

    python bench/data.py [ROWS] > bench/results/data.json

The file (100 MB for a million rows) is made from the bundled sample: each row is a tweet of it with a number, a time,
an id and a link, one in ten with characters beyond ASCII. `seconds` of ulmtweet are those of reading and of cleaning,
of pandas those of `read_csv` alone; megabytes are the most that each process held. About three minutes on two cores.
"""
import csv, json, random, subprocess, sys, tempfile, time
from pathlib import Path

from engine import processor
from ulmtweet.core import ASSETS

ULMTWEET = """
from ulmtweet.data.sources import read_tweets
from ulmtweet.data.clean import clean_tweets
table = timed("read", lambda: read_tweets(path))
tweets, report = timed("clean", lambda: clean_tweets(table))
said.update(read=report["read"], kept=report["kept"])
"""
PANDAS = """
import pandas
said.update(read=len(timed("read", lambda: pandas.read_csv(path))))
"""
AROUND = """
import json, resource, sys, time
path, seconds, said = sys.argv[1], {}, {}
def timed(what, work):
    start = time.perf_counter()
    result = work()
    seconds[what] = round(time.perf_counter() - start, 1)
    return result
PROGRAM
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps(dict(seconds=seconds, megabytes=most, **said)))
"""


def write_rows(path, rows):
    with open(ASSETS/"sample_tweets.csv", encoding="utf-8", newline="") as f:
        texts = [row["Tweet"] for row in csv.DictReader(f) if not row["Retweet from"]]
    halves = [(words[:len(words) // 2], words[len(words) // 2:]) for words in map(str.split, texts)]
    choose, start = random.Random(0), 1_500_000_000
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f)
        out.writerow(["created_at", "text"])
        for i in range(rows):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start + 90 * i))
            words = choose.choice(halves)[0] + choose.choice(halves)[1] + (["déjà", "vu", "🚀"] if i % 10 == 0 else [])
            link = choose.choice(["", "", "", " https://t.co/abcdefghij"])
            out.writerow([when, " ".join(words) + link])


def measured(program, path):
    code = AROUND.replace("PROGRAM", program)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"tweets.csv"
        write_rows(path, rows)
        print("reading and cleaning", file=sys.stderr, flush=True)
        result = dict(command="python bench/data.py", processor=processor(), rows=rows,
                      megabytes_of_file=path.stat().st_size // 2**20,
                      ulmtweet=measured(ULMTWEET, path), pandas=measured(PANDAS, path))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
