"""The global batch sequence is a pure function that uses every row once."""

import numpy as np
import pytest

from trainer.stream.order import (
    BatchBudget,
    Cursor,
    batch_shapes,
    permutation,
    plan_window,
    rank_rows,
    shard_order,
    window_bounds,
)

BUDGETS = [
    BatchBudget(sequences=1),
    BatchBudget(sequences=7),
    BatchBudget(sequences=10_000),
    BatchBudget(tokens=1),
    BatchBudget(tokens=300),
    BatchBudget(tokens=10**7),
]


GOLDEN = [[0, 11], [4, 2, 1, 10, 9], [7, 5, 6, 8, 3]]


def lengths(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    inputs = generator.integers(3, 60, number)
    return inputs, np.maximum(2, inputs + generator.integers(-3, 4, number))


def plan_batches(
    inputs: np.ndarray,
    targets: np.ndarray,
    budget: BatchBudget,
    *,
    seed: int = 0,
    epoch: int = 0,
    window: int = 0,
) -> list[np.ndarray]:
    plan = plan_window(inputs, targets, budget, seed=seed, epoch=epoch, window=window)
    return [plan.batch(number) for number in range(len(plan))]


def padded(batch: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> int:
    return len(batch) * int(inputs[batch].max() + targets[batch].max())


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("number", [1, 2, 7, 500])
def test_every_row_is_in_exactly_one_batch(budget: BatchBudget, number: int) -> None:
    plan = plan_batches(*lengths(number), budget, seed=1, epoch=2, window=3)
    assert sorted(np.concatenate(plan)) == list(range(number))
    assert all(len(batch) for batch in plan)


@pytest.mark.parametrize("tokens", [200, 1000, 5000])
def test_a_token_budget_is_never_exceeded_by_more_than_one_long_row(tokens: int) -> None:
    inputs, targets = lengths(800)
    plan = plan_batches(inputs, targets, BatchBudget(tokens=tokens))
    assert all(len(batch) == 1 or padded(batch, inputs, targets) <= tokens for batch in plan)


def test_a_token_budget_is_used_well() -> None:
    inputs, targets = lengths(5000)
    plan = plan_batches(inputs, targets, BatchBudget(tokens=4000))
    used = sum(padded(batch, inputs, targets) for batch in plan)
    assert used / (4000 * len(plan)) > 0.95


def test_a_sequence_budget_leaves_one_smaller_batch_at_most() -> None:
    plan = plan_batches(*lengths(1000), BatchBudget(sequences=64))
    assert sorted(map(len, plan)) == [1000 % 64] + [64] * (1000 // 64)


def test_bucketing_pads_little_and_far_less_than_chance() -> None:
    inputs, targets = lengths(20_000)
    real = int((inputs + targets).sum())
    plan = plan_batches(inputs, targets, BatchBudget(sequences=32))
    bucketed = sum(padded(batch, inputs, targets) for batch in plan) / real - 1
    rows = permutation(20_000, 0, 0, 0).reshape(-1, 32)
    by_chance = sum(padded(batch, inputs, targets) for batch in rows) / real - 1
    assert bucketed < 0.03 < 0.5 < by_chance


@pytest.mark.parametrize("change", [{"seed": 8}, {"epoch": 1}, {"window": 1}])
def test_another_seed_epoch_or_window_is_another_order(change: dict[str, int]) -> None:
    key = {"seed": 7, "epoch": 0, "window": 0}
    plans = [
        plan_batches(
            *lengths(300),
            BatchBudget(sequences=8),
            seed=values["seed"],
            epoch=values["epoch"],
            window=values["window"],
        )
        for values in (key, key, key | change)
    ]
    same, again, other = (np.concatenate(plan).tolist() for plan in plans)
    assert same == again
    assert same != other


def test_batches_come_in_no_order_of_length() -> None:
    inputs, targets = lengths(4000)
    plan = plan_batches(inputs, targets, BatchBudget(sequences=16))
    means = [inputs[batch].mean() for batch in plan]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_the_order_is_the_one_that_older_runs_saw() -> None:
    """A changed order would break every run that is resumed across a release."""
    assert permutation(8, seed=3, epoch=1, window=2).tolist() == [6, 5, 1, 2, 0, 3, 7, 4]
    assert shard_order(5, seed=0, epoch=0).tolist() == [1, 4, 2, 3, 0]
    plan = plan_batches(*lengths(12), BatchBudget(sequences=5), seed=3, epoch=1, window=2)
    assert [batch.tolist() for batch in plan] == GOLDEN


def test_shards_are_permuted_anew_every_epoch() -> None:
    orders = {tuple(shard_order(20, 5, epoch)) for epoch in range(10)}
    assert len(orders) == 10
    assert all(sorted(order) == list(range(20)) for order in orders)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("number", [0, 1, 7, 500])
def test_the_shapes_of_batches_depend_on_the_lengths_alone(
    budget: BatchBudget, number: int
) -> None:
    inputs, targets = lengths(number)
    shapes = (part.tolist() for part in batch_shapes(inputs, targets, budget))
    found = sorted(zip(*shapes, strict=True))
    for seed in range(3):
        shuffled = permutation(number, seed, 0, 0)
        plan = plan_batches(inputs[shuffled], targets[shuffled], budget, seed=seed)
        rows = inputs[shuffled], targets[shuffled]
        planned = [(len(b), int(rows[0][b].max()), int(rows[1][b].max())) for b in plan]
        assert sorted(planned) == found


@pytest.mark.parametrize("number", [1, 1000])
@pytest.mark.parametrize("longest", [1, 40, 65_535])
def test_equal_lengths_come_in_random_order(number: int, longest: int) -> None:
    inputs = np.full(number, longest)
    inputs[0] = 1
    plan = plan_batches(inputs, inputs, BatchBudget(sequences=number), seed=1)
    rows = plan[0].tolist()
    assert sorted(rows) == list(range(number))
    assert number == 1 or rows[1:] != sorted(rows[1:])


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [
        ([], 8, []),
        ([5], 8, [(0, 1)]),
        ([5, 5], 8, [(0, 1), (1, 2)]),
        ([4] * 9, 8, [(0, 1), (1, 3), (3, 5), (5, 7), (7, 9)]),
        ([4] * 9, 1, [(number, number + 1) for number in range(9)]),
        ([4] * 9, 1000, [(0, 1), (1, 9)]),
        ([3, 100, 1, 1, 1, 100, 3], 10, [(0, 1), (1, 2), (2, 5), (5, 6), (6, 7)]),
    ],
)
def test_windows_are_even_and_cover_all_shards(
    samples: list[int], size: int, expected: list[tuple[int, int]]
) -> None:
    assert window_bounds(samples, size) == expected


def test_windows_hold_about_the_samples_asked_for() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        samples = generator.integers(10, 50, generator.integers(2, 200)).tolist()
        bounds = window_bounds(samples, 400)
        assert [n for start, end in bounds for n in range(start, end)] == list(range(len(samples)))
        sizes = [sum(samples[start:end]) for start, end in bounds[1:]]
        assert max(sizes) <= 600 + 50


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("rows", [0, 1, 3, 64, 65])
def test_ranks_share_a_batch_without_overlap(world_size: int, rows: int) -> None:
    batch = np.arange(rows)
    parts = [rank_rows(batch, rank, world_size) for rank in range(world_size)]
    assert sorted(np.concatenate(parts)) == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("arguments", [{}, {"sequences": 1, "tokens": 1}, {"sequences": 0}])
def test_a_budget_is_of_one_kind_and_positive(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        BatchBudget(**arguments)


def test_cursors_compare_as_positions() -> None:
    assert Cursor(0, 1, 9) < Cursor(0, 2, 0) < Cursor(1, 0, 0)
