"""A person's tweets go in, and what that person would tweet next comes out."""
import os

# OpenMP's threads use up their processor while they wait for each other, at first; beside another busy program a
# training took 42 seconds instead of 29 (two threads, two cores), alone 19 either way. It is read with torch.
if "OMP_WAIT_POLICY" not in os.environ: os.environ.setdefault("GOMP_SPINCOUNT", "1000")
