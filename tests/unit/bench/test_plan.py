from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.bench import plan
from bridge.bench.cases import Case, Group
from bridge.bench.formats import FORMATS
from bridge.bench.plan import Cost

MIB = 2**20


def case(format_="raw", size=MIB, payload="f8"):
    return Case("pull", format_, payload, size)


def cost(seconds, *, making=0.0, first=None, client_memory=0.0, server_memory=0.0):
    return Cost(making, seconds if first is None else first, seconds, client_memory, server_memory)


def foresee(target, known, *, budget=120.0, available=(None, None)):
    return plan.foresee(target, known, processes=5, budget=budget, available=available)


def test_what_is_slow_at_small_sizes_is_not_tried_at_large_ones():
    known = {case("json", MIB): cost(0.2), case("json", 2 * MIB): cost(0.4)}
    assert foresee(case("json", 4 * MIB), known) is None
    reason = foresee(case("json", 64 * MIB), known)
    assert reason == "json at 64.0 MiB would take 192.0 s of a budget of 120 s"
    assert foresee(case("json", 64 * MIB), known, budget=None) is None
    assert foresee(case("raw", 64 * MIB), known) is None


def test_the_delay_of_a_link_does_not_grow_with_the_size():
    known = {case(size=1000): cost(0.1), case(size=MIB): cost(0.101)}
    assert foresee(case(size=32 * MIB), known) is None


def test_what_would_not_fit_into_memory_is_not_tried():
    known = {case("json", 32 * MIB): cost(1.0, client_memory=600 * MIB)}
    available = (10 * 2**30, None)
    assert foresee(case("json", 64 * MIB), known, budget=None, available=available) is None
    assert foresee(case("json", 2**30), known, budget=None, available=available) == (
        "json at 1.0 GiB would need 18.8 GiB here; 10.0 GiB are left"
    )


def test_before_a_large_size_smaller_ones_are_tried():
    assert plan.probes(case(size=1000), {}) == []
    assert [probe.size for probe in plan.probes(case(size=2**30), {})] == [2**15, 2**20, 2**25]
    known = {case(size=2**25): cost(1.0)}
    assert plan.probes(case(size=2**30), known) == []
    assert [probe.size for probe in plan.probes(case("json", 2**25), known)] == [2**15, 2**20]


def test_the_dearest_formats_are_left_out_first_and_the_baselines_last():
    costs = {case("json"): cost(5.0), case("raw"): cost(0.1), case("tcp"): cost(0.2)}
    rounds, left_out = plan.rounds_for(costs, {Group("pull", "f8", MIB): 0.1}, processes=5, seconds=20.0)
    assert rounds.keys() == {Group("pull", "f8", MIB)}
    assert left_out == {case("json"): "json at 1.0 MiB would take 75.0 s of the 20 s left for all"}


def test_what_has_nothing_to_be_compared_with_is_left_out_too():
    costs = {case("raw"): cost(50.0), case("tcp"): cost(0.1)}
    rounds, left_out = plan.rounds_for(costs, {Group("pull", "f8", MIB): 0.1}, processes=5, seconds=20.0)
    assert rounds == {}
    assert left_out.keys() == costs.keys()


@given(
    st.dictionaries(
        st.builds(
            case, st.sampled_from(sorted(FORMATS)), st.integers(1, 5), st.sampled_from(["f8", "u1"])
        ),
        st.builds(cost, st.floats(1e-5, 10), first=st.floats(0, 10)),
    ),
    st.floats(0, 5),
    st.integers(1, 10),
    st.floats(-10, 1000),
)
def test_a_plan_takes_no_longer_than_it_may(costs, making, processes, seconds):
    groups = {case.group for case in costs}
    rounds, left_out = plan.rounds_for(
        costs, dict.fromkeys(groups, making), processes=processes, seconds=seconds
    )
    kept = costs.keys() - left_out.keys()
    assert {case.group for case in kept} == rounds.keys()
    assert all(1 <= count <= plan.MAX_ROUNDS for count in rounds.values())
    planned = sum(costs[c].first + rounds[c.group] * costs[c].turn for c in kept)
    planned += making * len(rounds)
    assert not kept or processes * planned <= seconds * 1.000001
