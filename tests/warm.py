"""What the commands import, once for many: it takes longer than most of what tests ask of them.

The processes that `conftest.forked` starts begin with it.
"""
import gc
from importlib import import_module

for name in ("cli.__main__", "data.clean", "data.sources", "evaluation.report", "generation.bulk", "training.fleet",
             "training.train", "training.update"):
    import_module(f"ulmtweet.{name}")
for name in ("auto.modeling_auto", "llama.modeling_llama"): import_module(f"transformers.models.{name}")
import_module("peft")
gc.freeze() # each search for garbage would go through all of it
