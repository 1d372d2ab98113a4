"""Our categorical hidden Markov model against hmmlearn's, ten steps of EM from the same start.

    python tests/bench/hmm.py [--peers .venv/peers] [--text tinyshakespeare.txt] [--threads 1]

32 states, 200 sequences of 1,000 characters: the beginning of the text, which without a path is the King James Bible.
`--peers` is a folder with hmmlearn and what it needs; without hmmlearn ours is measured alone. Both run in this one
process, one after the other: hmmlearn on one thread, as it is written, and ours on as many as asked. The log-likelihood
is that of the parameters after ten steps. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from generators.core.hidden_markov import CategoricalHMM
from generators.data.text import load

STATES, SEQUENCES, LENGTH, STEPS = 32, 200, 1000, 10
FASTER, STRETCH, AGREE = 3.0, 8.0, 1e-6  # times, times, relative difference of log-likelihoods


def start(symbols: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    """The parameters that both go on from."""
    random = np.random.default_rng(seed)
    return tuple(
        random.dirichlet(np.ones(n), size) for n, size in ((STATES, None), (STATES, STATES), (symbols, STATES))
    )


def ours(symbols: NDArray[np.int64], begin: tuple[NDArray[np.float64], ...]) -> tuple[float, float]:
    """Seconds a step, the last likelihood's forward pass included, and that likelihood."""
    model = CategoricalHMM(STATES, steps=STEPS, tolerance=0.0)
    began = time.perf_counter()
    model.fit(symbols, [LENGTH] * SEQUENCES, init=begin)
    spent = time.perf_counter() - began
    if len(model.history_) != STEPS + 1:
        raise RuntimeError(f"EM took {len(model.history_) - 1} steps, not {STEPS}.")
    return spent / STEPS, model.log_likelihood_


def theirs(symbols: NDArray[np.int64], begin: tuple[NDArray[np.float64], ...]) -> tuple[float, float]:
    """Seconds a step, and the likelihood after the last. Raises ImportError."""
    from hmmlearn.hmm import CategoricalHMM as Peer

    options: dict[str, Any] = {"implementation": "scaling", "n_iter": STEPS, "tol": -np.inf, "init_params": ""}
    model = Peer(STATES, n_features=begin[2].shape[1], **options)
    model.startprob_, model.transmat_, model.emissionprob_ = begin
    lengths = [LENGTH] * SEQUENCES
    began = time.perf_counter()
    model.fit(symbols[:, None], lengths)
    spent = time.perf_counter() - began
    if len(model.monitor_.history) != STEPS:
        raise RuntimeError(f"hmmlearn took {len(model.monitor_.history)} steps, not {STEPS}.")
    return spent / STEPS, float(model.score(symbols[:, None], lengths))


def main() -> int:
    parser = argparse.ArgumentParser(description="Baum-Welch against hmmlearn's.")
    parser.add_argument("--peers", type=Path, help="folder with hmmlearn 0.3.3 and what it needs")
    parser.add_argument("--text", type=Path, help="the text; default: kjv")
    parser.add_argument("--threads", type=int, default=1, help="ours; on two, each waits for the other at every step")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many, for both")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = options.text.read_text(encoding="utf-8") if options.text else load("kjv").train.text
    letters, found = np.unique(list(text[: SEQUENCES * LENGTH]), return_inverse=True)
    symbols = found.astype(np.int64)
    begin = start(len(letters), options.seed)
    if options.peers:
        sys.path.append(str(options.peers.resolve()))
    print(f"{options.text or 'kjv'}, {SEQUENCES} x {LENGTH} characters, {len(letters)} symbols, {STATES} states\n")
    own, peer, reason = [], [], ""
    for _ in range(options.repeats):  # in turn, so that both meet the same other work
        own.append(ours(symbols, begin))
        try:
            peer.append(theirs(symbols, begin))
        except ImportError as error:
            reason = str(error)
    seconds, likelihood = min(own)
    if not peer:
        print(f"| seconds a step | log-likelihood |\n|---|---|\n| {seconds:.4f} | {likelihood:.4f} |")
        print(f"\nhmmlearn is not here ({reason}): give --peers a folder with it to compare.")
        return 0
    seconds_peer, likelihood_peer = min(peer)
    ratio, apart = seconds_peer / seconds, abs(likelihood / likelihood_peer - 1)
    print("| | ours | hmmlearn, scaling | | target |\n|---|---|---|---|---|")
    times = f"{ratio:.1f} times faster"
    print(f"| seconds a step | {seconds:.4f} | {seconds_peer:.4f} | {times} | {FASTER:g}, stretch {STRETCH:g} |")
    figures = f"{likelihood:.4f} | {likelihood_peer:.4f} | {apart:.1e} relative"
    print(f"| log-likelihood after {STEPS} steps | {figures} | {AGREE:g} |")
    print(f"\n{options.threads} thread(s) of ours; fastest of {options.repeats}.")
    return 1 if ratio < FASTER or not apart <= AGREE else 0


if __name__ == "__main__":
    sys.exit(main())
