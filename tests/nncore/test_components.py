"""Components as data: what is built, and how often."""

import pytest

from nncore.components import Component

LOOKAHEAD = "nncore.optimizers.lookahead.lookahead"


def adam(learning_rate):
    return Component("nncore.optimizers.adam.adam", (("learning_rate", learning_rate),))


def test_equal_components_are_built_once():
    assert adam(0.1).build() is adam(0.1).build()
    assert adam(0.1).build() is not adam(0.2).build()
    assert (
        Component(LOOKAHEAD, (("optimizer", adam(0.1)),)).build()
        is Component(LOOKAHEAD, (("optimizer", adam(0.1)),)).build()
    )


def test_a_number_of_the_wrong_type_is_refused_although_an_equal_one_was_built():
    memory = "nncore.optimizers.lbfgs.lbfgs"
    Component(memory, (("memory", 5),)).build()
    for value in (5.0, True):
        with pytest.raises(ValueError, match=f"memory must be an integer, but is {value}"):
            Component(memory, (("memory", value),)).build()
