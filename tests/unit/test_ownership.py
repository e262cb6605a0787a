"""Whose a namespace is."""

import pytest

from settings.ownership import STACK_LABEL, foreign, other_state


@pytest.mark.parametrize("labels", [None, {STACK_LABEL: "lamp.staging"}])
def test_an_absent_or_own_namespace_can_be_had(labels):
    assert foreign(labels, "lamp.staging", "lamp-staging", "company") is None


@pytest.mark.parametrize(
    ("labels", "whose"),
    [({}, "was made by somebody else"), ({STACK_LABEL: "lamp.production"}, "belongs to the stack lamp.production")],
)
def test_somebody_elses_is_refused_with_whose_it_is_and_what_to_do(labels, whose):
    assert foreign(labels, "lamp.staging", "lamp-staging", "company") == (
        f"namespace lamp-staging on cluster company {whose}: name another one as switchyard:namespace in Pulumi.staging.yaml"
    )


def test_a_stack_with_a_dot_in_its_name_is_told_its_own_file():
    assert "in Pulumi.v1.2.yaml" in str(foreign({}, "lamp.v1.2", "lamp", "company"))


@pytest.mark.parametrize("holder", [None, "0badcafe"])
def test_a_namespace_of_no_installation_or_of_this_one_can_be_had(holder):
    assert other_state(holder, "0badcafe", "lamp-staging", "company") is None


def test_that_of_another_state_of_the_same_stack_is_refused_with_what_to_do_in_either_case():
    said = str(other_state("feedface", "0badcafe", "lamp-staging", "company"))
    assert "installation feedface, and this state is 0badcafe" in said
    assert "pulumi login" in said
    assert "from a copy of the backend" in said
