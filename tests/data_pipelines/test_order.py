import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.examples import PADDING
from data_pipelines.order import TrainOrder, shares
from data_pipelines.sources.mixture import Mixture
from data_pipelines.sources.moving_shapes import MovingShapes


def shapes(videos: int) -> MovingShapes:
    return MovingShapes(videos, seed=0, size=16, frames=10)


def mixture(**parts: tuple[int, float]) -> Mixture:
    return Mixture.of(
        {name: shapes(videos) for name, (videos, _) in parts.items()},
        {name: weight for name, (_, weight) in parts.items()},
    )


def batches(order: TrainOrder, count: int, begin: int = 0) -> list[list]:
    tickets = order.tickets(begin)
    return [list(itertools.islice(tickets, order.rows)) for _ in range(count)]


@given(
    videos=st.integers(1, 60),
    local=st.integers(1, 6),
    hosts=st.sampled_from([1, 2, 4]),
    begin=st.integers(0, 30),
    seed=st.integers(0, 2**31),
    last=st.sampled_from(["drop", "pad"]),
)
def test_hosts_read_the_parts_of_the_same_batches(videos, local, hosts, begin, seed, last) -> None:
    batch_size = local * hosts
    source = shapes(videos if last == "pad" else max(videos, batch_size))
    whole = batches(TrainOrder(source, batch_size, seed, (0, 1), last), 4, begin)
    parts = [
        batches(TrainOrder(source, batch_size, seed, (h, hosts), last), 4, begin)
        for h in range(hosts)
    ]
    assert [list(itertools.chain(*of_hosts)) for of_hosts in zip(*parts)] == whole
    longer = batches(TrainOrder(source, batch_size, seed, (0, 1), last), begin + 4)
    assert longer[begin:] == whole
    assert len({ticket.entropy for batch in longer for ticket in batch}) == batch_size * len(longer)


@given(videos=st.integers(1, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_a_padded_epoch_is_every_video_once_and_then_padding(videos, batch_size, seed) -> None:
    order = TrainOrder(shapes(videos), batch_size, seed, (0, 1), "pad")
    steps, whole = -(-videos // batch_size), videos // batch_size
    rows = np.array([[t.index for t in batch] for batch in batches(order, 3 * steps)])
    for epoch in rows.reshape(3, -1):
        assert sorted(epoch[:videos]) == list(range(videos))
        assert (epoch[videos:] == PADDING).all()
    if whole:  # the same shuffle either way
        dropping = batches(TrainOrder(shapes(videos), batch_size, seed, (0, 1)), whole)
        assert rows[:whole].tolist() == [[t.index for t in batch] for batch in dropping]


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6),
    total=st.integers(1, 2000),
)
def test_shares_sum_up_and_are_near_the_weights(weights, total) -> None:
    counts = shares(weights, total)
    assert sum(counts) == total
    exact = np.asarray(weights) / sum(weights) * total
    assert (np.abs(counts - exact) < 1).all()
    assert shares([7 * weight for weight in weights], total) == counts


def test_every_batch_of_a_mixture_has_the_same_make_up() -> None:
    source = mixture(a=(10, 3.0), b=(50, 1.0), c=(7, 2.0))
    order = TrainOrder(source, 12, 0, (0, 1))
    starts = np.array([start for start, *_ in source.parts])
    for batch in batches(order, 40):
        indices = [ticket.index for ticket in batch]
        assert len(set(indices)) == 12  # no video twice
        of_part = Counter(np.searchsorted(starts, indices, side="right") - 1)
        assert of_part == {0: 6, 1: 2, 2: 4}


def test_each_part_of_a_mixture_has_its_own_epochs() -> None:
    order = TrainOrder(mixture(a=(6, 1.0), b=(9, 1.0)), 6, 0, (0, 1))
    seen = [ticket.index for batch in batches(order, 12) for ticket in batch]
    a, b = [i for i in seen if i < 6], [i for i in seen if i >= 6]
    for epoch in np.split(np.array(a), 6):
        assert sorted(epoch) == list(range(6))
    for epoch in np.split(np.array(b), 4):
        assert sorted(epoch) == list(range(6, 15))
    assert len({tuple(e) for e in np.split(np.array(b), 4)}) > 1


def test_each_part_of_a_mixture_pads_its_own_epochs() -> None:
    order = TrainOrder(mixture(a=(5, 2.0), b=(3, 1.0)), 6, 0, (0, 1), "pad")
    seen = batches(order, 6)
    of_part = [
        [t.index for batch in seen for t in batch if t.entropy[1] == part] for part in (0, 1)
    ]
    for epoch in np.split(np.array(of_part[0]), 3):  # 5 of 8 places
        assert sorted(epoch[:5]) == list(range(5))
        assert epoch[5:].tolist() == [PADDING] * 3
    for epoch in np.split(np.array(of_part[1]), 3):  # 3 of 4 places
        assert sorted(epoch[:3]) == [5, 6, 7]
        assert epoch[3] == PADDING


def test_parts_that_cannot_fill_their_share_are_refused() -> None:
    with pytest.raises(UserError, match=r"weight 0\.01, less than one example in a batch of 8"):
        TrainOrder(mixture(a=(10, 1.0), b=(10, 0.01)), 8, 0, (0, 1))
    with pytest.raises(UserError, match="has 3 videos, but its weight 1 asks for 4"):
        TrainOrder(mixture(a=(10, 1.0), b=(3, 1.0)), 8, 0, (0, 1), "pad")
    with pytest.raises(UserError, match=r"batch_size = 9 is not divisible by 2 .*batch_size=8"):
        TrainOrder(shapes(20), 9, 0, (0, 2))


@pytest.mark.parametrize(
    ("batch_size", "host", "last_batch", "says"),
    [
        (0, (0, 1), "drop", "batch_size = 0 must be at least 1"),
        (4, (4, 4), "drop", r"host = \(4, 4\) must be \(index, count\)"),
        (4, (0, 1), "drap", "last_batch = 'drap' is unknown; did you mean 'drop'"),
    ],
)
def test_what_no_order_can_have_is_refused(batch_size, host, last_batch, says) -> None:
    with pytest.raises(UserError, match=says):
        TrainOrder(shapes(20), batch_size, 0, host, last_batch)


def test_another_seed_is_another_order() -> None:
    first, second = (batches(TrainOrder(shapes(40), 8, seed, (0, 1)), 2) for seed in (0, 1))
    assert [t.index for t in first[0]] != [t.index for t in second[0]]
    assert dataclasses.asdict(first[0][0])["entropy"] == (0, 0, 0)
