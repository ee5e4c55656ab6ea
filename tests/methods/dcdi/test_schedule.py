"""The phases of the augmented Lagrangian, one by one."""

import math

import pytest

from cdnbench.methods.dcdi.schedule import Constants, Schedule


def run(schedule, values, h, acyclic=False, penalty=0.0):
    """Feed iterations 0, 100, ... with these validation losses; the actions."""
    return [
        schedule.step(100 * i, h[i], penalty, lambda i=i: values[i], lambda: acyclic)
        for i in range(len(values))
    ]


@pytest.mark.parametrize(
    ("values", "updated"),
    [
        ([2.0, 1.0, 0.5], False),  # falls by more than 1e-4 an iteration
        ([2.0, 1.999, 1.9985], True),  # falls by less
        ([1.0, 1.5, 2.0], True),  # rises
        ([1.0, 2.0, 1.5], False),  # went up and down
        ([1.0, 0.5, 0.8], False),  # went down and up
    ],
)
def test_the_multipliers_move_when_the_validation_lagrangian_is_stationary(values, updated):
    schedule = Schedule(Constants(mu_init=0.5))
    actions = run(schedule, values, [0.1] * 3)
    assert actions == ["", "", "reset" if updated else ""]
    assert schedule.gamma == pytest.approx(0.5 * 0.1 if updated else 0.0)


def test_mu_doubles_unless_the_constraint_fell_to_nine_tenths():
    falling, standing = Schedule(Constants(mu_init=1.0)), Schedule(Constants(mu_init=1.0))
    rising = [float(i) for i in range(9)]
    run(falling, rising, [0.5**i for i in range(9)])
    assert falling.mu == 1.0 and falling.updates == 4
    run(standing, rising, [1.0] * 9)
    assert standing.mu == 2.0**3 and standing.updates == 4


def test_an_update_shifts_the_last_lagrangian_by_what_it_added():
    schedule = Schedule(Constants(mu_init=1.0))
    run(schedule, [1.0, 2.0, 3.0], [0.5] * 3, penalty=0.25)
    # 3 + penalty + mu h^2 / 2 with gamma = 0, then gamma h = 0.5 * 0.5 more
    assert schedule.lagrangians[-1] == pytest.approx(3 + 0.25 + 0.125 + 0.25)


def test_after_the_constraint_holds_patience_threshold_refit_and_end():
    schedule, actions = Schedule(Constants(train_patience=2, train_patience_post=1)), {}
    for iteration in range(10_000):
        action = schedule.step(iteration, 0.0, 0.0, lambda: 1.0, lambda: True)
        if action:
            actions[action] = iteration
        if action == "finish":
            break
    # The first value improves on infinity at 0; 1000 and 2000 do not. The first refit value at 3000
    # improves, 4000 does not.
    assert actions == {"threshold": 2001, "finish": 4001}
    assert schedule.stage == "finished" and schedule.thresholded


def test_a_small_constraint_with_a_cycle_goes_on():
    schedule = Schedule()
    run(schedule, [1.0] * 3, [0.0] * 3, acyclic=False)
    assert schedule.stage == "subproblem" and schedule.best == math.inf
