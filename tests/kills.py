"""Kill trainings at random moments, and repeat the command until they are finished.

They are compared with one that nobody killed.

    python tests/kills.py 300 > bench/results/kills.json

A kill is SIGKILL to `ulmtweet train` on the newest 145 tweets of the sample: one in four at any time, one in four
where a checkpoint is written but hasn't got its name yet, the others some time after the first checkpoint. Half of the
trainings write a checkpoint after every batch, half every half second. "lost" counts finished trainings whose weights,
metrics or samples are not those of the straight training, bit for bit. The processes are forked from one that has
imported everything, which would take longer than the trainings. 300 kills take some 28 minutes on two cores.
"""
import json, os, random, signal, sys, tempfile, time
from collections import Counter
from functools import partial
from pathlib import Path

import torch

from conftest import SAMPLE, begin
from ulmtweet.models.voice import Voice, training_folder


def outcome(folder):
    "What has to be equal, of a finished voice."
    voice = Voice.load(folder)
    return voice.model.weights(), voice.meta["metrics"], [
        (s["bits_per_character"], s["samples"]) for s in voice.meta["stages"]]


def equal(a, b):
    return a[0].keys() == b[0].keys() and all(torch.equal(a[0][k], b[0][k]) for k in a[0]) and a[1:] == b[1:]


def tiny_base(folder, texts):
    "A Llama of some thousand weights that writes a few letters and ends, in Hugging Face's layout; its path."
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM
    reader = Tokenizer(models.BPE())
    reader.pre_tokenizer, reader.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    reader.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|im_start|>", "<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    config = LlamaConfig(vocab_size=reader.get_vocab_size(), hidden_size=32, num_hidden_layers=3, eos_token_id=1,
                         num_attention_heads=4, num_key_value_heads=2, intermediate_size=64, tie_word_embeddings=True)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    _learn_to_end(model, [torch.tensor([1, *reader.encode(" " + t).ids[:10], 1]) for t in texts])
    model.save_pretrained(folder)
    reader.save(str(folder/"tokenizer.json"))
    return folder


def _learn_to_end(model, rows, steps=150):
    "So that samples of tweets don't take longer than the training."
    opt, pad = torch.optim.AdamW(model.parameters(), 5e-3), torch.nn.utils.rnn.pad_sequence
    for i in range(steps):
        some = [rows[(16 * i + k) % len(rows)] for k in range(16)]
        model(pad(some, True, 1), labels=pad(some, True, -100)).loss.backward()
        opt.step()
        opt.zero_grad()


def die_in_a_save(saved):
    "Make this process kill itself as soon as it has written so many checkpoints and, but for its name, another one."
    replace, left = os.replace, iter(range(saved))
    def dying(path, to):
        if Path(to).match("checkpoint-*") and next(left, None) is None: os.kill(os.getpid(), signal.SIGKILL)
        replace(path, to)
    os.replace = dying


def kill_often(kills, folder, seed=0, options=()):
    "Kill trainings with these options so many times; what came of it."
    rng, tweets, errors = random.Random(seed), folder/"few.csv", folder/"stderr.txt"
    tweets.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:156]) + "\n", encoding="utf-8")
    places, inside, finished, lost, done = Counter(), 0, 0, 0, 0

    def train(home, seconds=None, moment=None):
        "Train, until a moment so many seconds away; whether the training came to its end, and whether a save was cut."
        work, every = training_folder("v", home), "0.5" if finished % 2 else "0"
        errors.write_text("")
        process = begin("train", tweets, "--name", "v", "--epochs", 2, "--checkpoint-seconds", every, "--home", home,
                        *options, streams=(os.devnull, os.devnull, errors),
                        first=partial(die_in_a_save, rng.randrange(6)) if moment == "in a save" else None)
        def there(pattern):
            try: return any(work.glob(pattern))
            except FileNotFoundError: return False # the training has just removed its folder: it is finished
        if moment == "later":
            while process.is_alive() and not there("checkpoint-*.safetensors"): time.sleep(0.01)
        process.join(None if moment == "in a save" else seconds)
        process.kill()
        process.join()
        said = errors.read_text()
        assert "Traceback" not in said and process.exitcode in (0, -9), said
        places.update(line.partition(", epoch")[0] + line.endswith("epoch 1, batch 1") * ", at its beginning"
                      for line in said.splitlines() if line.startswith("resuming"))
        return process.exitcode == 0, there(f".checkpoint-*.{process.pid}.tmp")

    train(folder/"warm-up")
    began = time.monotonic()
    train(folder/"straight")
    seconds, straight = time.monotonic() - began, outcome(folder/"straight"/"voices"/"v")
    while done < kills:
        home = folder/f"home{finished}"
        while done < kills:
            whole, cut = train(home, rng.uniform(0, 0.3) * seconds,
                               rng.choice(["any time", "in a save", "later", "later"]))
            if whole: break
            done += 1
            inside += cut
        else: train(home)
        finished += 1
        lost += not equal(outcome(home/"voices"/"v"), straight)
        print(f"{done} kills, {finished} trainings finished, {lost} lost", file=sys.stderr, flush=True)
    return dict(kills=done, inside_a_save=inside, finished=finished, lost=lost,
                resumed=dict(sorted(places.items())), seconds=round(time.monotonic() - began))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        kills, *options = sys.argv[1:]
        print(json.dumps(dict(command=" ".join(["python tests/kills.py", *sys.argv[1:]]),
                              **kill_often(int(kills), Path(tmp), options=options)), indent=1))
