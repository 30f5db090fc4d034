"""A person's tweets go in, and what that person would tweet next comes out."""
import os

# OpenMP's threads use up their processor while they wait for each other, at first; beside another busy program a
# training took 42 seconds instead of 29 (two threads, two cores), alone 19 either way. It is read with torch.
if "OMP_WAIT_POLICY" not in os.environ: os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# AMX rounds a row's products by how many rows there are: 24 of 300 tweets were other ones in batches of 64 than of 512,
# and none without it, where writing takes a quarter longer. Other processors have no AMX, and lose nothing.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
