"""Near duplicates are found, and only they."""

import tracemalloc

import numpy as np

from model.folder.near import near_duplicates


def test_what_is_alike_is_grouped_through_others_too() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(50, 64)).astype(np.float32) + 3
    features[7] = features[3] + 0.05 * draw.normal(size=64)
    features[20] = features[40] = features[7]
    features[49] = features[11]
    assert near_duplicates(features) == ((3, 7, 20, 40), (11, 49))
    assert near_duplicates(features, threshold=1.01) == ()


def test_a_chain_is_one_group() -> None:
    angles = np.linspace(0, np.pi, 9)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    around = np.concatenate([features, -features]).astype(np.float32)  # their mean is 0
    assert near_duplicates(around, threshold=0.9) == (tuple(range(18)),)


def test_blocks_agree_with_the_whole() -> None:
    draw = np.random.default_rng(1)
    features = np.repeat(draw.normal(size=(1500, 8)), 2, axis=0).astype(np.float32)
    features += 0.01 * draw.normal(size=features.shape).astype(np.float32)
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    joined = {frozenset((2 * pair, 2 * pair + 1)) for pair in range(1500)}
    assert joined <= {frozenset(group) for group in near_duplicates(features, threshold=0.9999)} | joined
    partners = {place for group in near_duplicates(features, threshold=0.999) for place in group}
    assert partners == set(np.flatnonzero((unit @ unit.T >= 0.999).sum(axis=1) > 1).tolist())


def test_memory_stays_within_bounds() -> None:
    features = np.random.default_rng(2).normal(size=(6000, 64)).astype(np.float32)
    tracemalloc.start()
    near_duplicates(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_few_clips_are_no_trouble() -> None:
    assert near_duplicates(np.zeros((0, 4), dtype=np.float32)) == ()
    assert near_duplicates(np.ones((1, 4), dtype=np.float32)) == ()
