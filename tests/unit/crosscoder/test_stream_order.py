"""Which token is in which batch: counted token by token, and how well mixed against drawing from an urn."""

from itertools import chain, combinations

import numpy as np
import pytest
from scipy.stats import hypergeom, spearmanr

from rlgen_k8s.crosscoder.stream import Order, PackedTokens, Recipe
from rlgen_k8s.errors import UserError

SEPARATOR = 0


def text(n: int = 203, length: int = 17, forward: int = 4) -> PackedTokens:
    """Sequences that start with the separator and have some more of them inside."""
    generator = np.random.default_rng(1)
    ids = generator.integers(1, 50, (n, length)) * (generator.random((n, length)) > 0.1)
    ids[:, 0] = SEPARATOR
    return PackedTokens(ids.astype(np.int32), SEPARATOR, forward)


def recipe(**changes: int) -> Recipe:
    return Recipe(**{"batch": 64, "epochs": 2, "seed": 3, "block": 6, "scale_units": 2, "corpus": "c", **changes})


def drawn(order: Order, epoch: int = 0) -> np.ndarray:
    """Every draw of an epoch, as rows of the text."""
    return np.concatenate([order.rows(block) for block in order.blocks(epoch)])


def test_units_keep_all_tokens_but_separators() -> None:
    packed = text()
    kept = [sum(token != SEPARATOR for row in packed.unit(number) for token in row) for number in range(51)]
    assert packed.n_units == 51
    assert packed.kept.tolist() == kept
    assert len(packed.unit(50)) == 3


def test_every_token_is_drawn_exactly_once_an_epoch_and_in_a_new_order_each_time() -> None:
    packed = text()
    order = Order(packed.kept, recipe())
    first, second = drawn(order, 0), drawn(order, 1)
    assert sorted(first) == sorted(second) == list(range(order.n_tokens))
    assert order.n_tokens == np.count_nonzero(packed.ids)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, drawn(Order(packed.kept, recipe()), 0))
    assert not np.array_equal(first, drawn(Order(packed.kept, recipe(seed=4)), 0))


def test_blocks_are_bounded_and_another_epoch_puts_other_units_together() -> None:
    order = Order(text().kept, recipe())
    pairs = []
    for epoch in (0, 1):
        blocks = list(order.blocks(epoch))
        assert [len(block.units) for block in blocks] == [6] * 8 + [3]
        assert [block.first for block in blocks] == [sum(b.tokens for b in blocks[:k]) for k in range(9)]
        assert max(block.tokens for block in blocks) <= order.most_tokens
        pairs.append(set(chain.from_iterable(combinations(sorted(block.units), 2) for block in blocks)))
    assert order.most_tokens <= 6 * 4 * 16
    assert len(pairs[0] & pairs[1]) < 0.3 * len(pairs[0])


def test_where_a_token_stands_in_the_text_says_nothing_about_when_it_is_drawn() -> None:
    """Rank correlations of position and draw; of n units at random they have a standard deviation of 1 / √(n − 1)."""
    order = Order(text(n=2000).kept, recipe())
    rows = drawn(order)
    assert abs(spearmanr(rows, np.arange(len(rows))).statistic) < 3 / 499**0.5
    for block in list(order.blocks(0))[:20]:
        inside = np.argsort(np.argsort(order.rows(block)))
        assert abs(spearmanr(inside, np.arange(block.tokens)).statistic) < 4 / (block.tokens - 1) ** 0.5


def test_tokens_of_one_sequence_in_one_batch_are_as_many_as_an_urn_would_give() -> None:
    """A batch inside a block of N tokens: counts of a sequence of n tokens are hypergeometric(N, n, batch)."""
    packed = text(n=1200)
    order = Order(packed.kept, recipe(block=25))
    sequence_of_row = np.repeat(np.arange(1200), (packed.ids != SEPARATOR).sum(axis=1))
    seen, wanted = np.zeros(5), np.zeros(5)
    for block in order.blocks(0):
        sequences = sequence_of_row[order.rows(block)]
        present, sizes = np.unique(sequences, return_counts=True)
        for start in range(0, block.tokens - 64, 64):
            batch = np.bincount(sequences[start : start + 64], minlength=1200)[present]
            seen += np.bincount(batch.clip(max=4), minlength=5)
            for size, n in zip(*np.unique(sizes, return_counts=True), strict=True):
                urn = hypergeom(block.tokens, size, 64)
                wanted += n * np.array([*urn.pmf(range(4)), urn.sf(3)])
    print("sequences with 0, 1, 2, 3, more tokens in a batch:", seen, "from an urn:", wanted.round(1))
    assert (np.abs(seen - wanted) < 4 * wanted**0.5).all()


@pytest.mark.parametrize("name", ["batch", "epochs", "block", "scale_units"])
def test_a_recipe_without_sense_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"recipe {name}: 0"):
        recipe(**{name: 0})
