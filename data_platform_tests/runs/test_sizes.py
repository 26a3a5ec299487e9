"""Sizes of tasks: only Fargate's, never less than what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_platform.feeds.compute import SIZES, Compute, fit
from data_platform.runs.sizes import DEFAULT, largest, next_size

PAIRS = [(cpu, memory) for cpu, memories in SIZES.items() for memory in memories]
LARGEST = PAIRS[-1]
computes = st.one_of(
    st.sampled_from(PAIRS).map(lambda pair: Compute(cpu=pair[0], memory=pair[1])),
    st.sampled_from(PAIRS).map(lambda pair: Compute(memory=pair[1], spot=True)),
    st.sampled_from(sorted(SIZES)).map(lambda cpu: Compute(cpu=cpu)),
    st.integers(21, 200).map(lambda storage: Compute(ephemeral_storage=storage, spot=True)),
)


@given(st.integers(0, LARGEST[0]), st.integers(0, LARGEST[1]))
def test_what_is_asked_for_fits_into_the_smallest_size_that_there_is(cpu: int, memory: int) -> None:
    found = fit(cpu, memory)
    assert found in PAIRS
    assert found[0] >= cpu and found[1] >= memory
    assert not [pair for pair in PAIRS if pair < found and pair[0] >= cpu and pair[1] >= memory]


@given(st.lists(computes, max_size=5))
def test_a_run_has_the_most_that_any_of_its_assets_needs(declared: list[Compute]) -> None:
    size = largest(declared)
    assert (size.cpu, size.memory) in PAIRS
    for each in declared:
        assert (size.cpu or 0) >= (each.cpu or 0) and (size.memory or 0) >= (each.memory or 0)
        assert (size.ephemeral_storage or 0) >= (each.ephemeral_storage or 0)
    assert size.spot == (bool(declared) and all(each.spot for each in declared))


@given(st.sampled_from(PAIRS))
def test_the_next_size_has_more_memory_until_there_is_none(pair: tuple[int, int]) -> None:
    larger = next_size(*pair)
    if larger is None:
        assert pair[1] == LARGEST[1]
    else:
        assert larger in PAIRS and larger[1] >= min(2 * pair[1], LARGEST[1]) and larger[0] >= pair[0]


@given(computes)
def test_asset_tags_carry_it_there_and_back(compute: Compute) -> None:
    assert Compute.of_tags({"team": "water", **compute.tags()}) == compute


def test_without_a_word_a_run_has_the_default_size() -> None:
    assert largest([]) == largest([Compute()]) == DEFAULT


def test_tags_written_by_hand_that_are_no_numbers_count_as_unsaid() -> None:
    assert Compute.of_tags({"data_platform/cpu": "many", "data_platform/memory": ""}) == Compute()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cpu": 1000}, "1000 CPU units: expected one of 256, 512, 1024"),
        ({"cpu": 256, "memory": 8192}, "256 CPU units take one of 512, 1024, 2048 MiB"),
        ({"memory": 3000}, "3000 MiB: expected 3072"),
        ({"ephemeral_storage": 20}, "greater than or equal to 21"),
        ({"gpu": 1}, "Extra inputs"),
    ],
)
def test_a_size_that_fargate_has_not_is_refused_with_those_it_has(wrong: dict[str, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Compute.model_validate(wrong)
