"""The comment's form: it always fits, nothing in it can break out of it, and no secret gets into it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.data_loss import losses
from reports.preview import MARKER, NotAPreviewError, StackPreview, code, markdown
from reports.risk import Change, Field, Risk, classify, differences

SIGNATURE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"hunter2"'}


def change(name: str, risk: Risk = Risk.REST, **more: Any) -> Change:
    return Change(f"urn::{name}", "Deployment", name, "update", risk, **more)


def step(op: str, kind: str, before: Any, after: Any, **more: Any) -> dict[str, Any]:
    urn, told = f"urn:pulumi:s::p::switchyard:index:Stack$kubernetes:{kind}::thing", f"kubernetes:{kind}"
    states = {"oldState": before, "newState": after}
    return {"op": op, "urn": urn, **{key: {"type": told, "custom": True, "inputs": one} for key, one in states.items() if one}, **more}


sizes = st.lists(st.integers(0, 60), max_size=40)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(2_000, 40_000), st.text(max_size=40))
def test_the_comment_fits_whatever_is_in_it_and_every_fold_is_closed(counts: list[int], limit: int, value: str) -> None:
    fields = tuple(Field(f"spec.field{number}", value, value * 2) for number in range(40))
    previews = [
        StackPreview(f"stack-{number}", tuple(change(f"n{one}", fields=fields) for one in range(count)))
        for number, count in enumerate(counts)
    ]
    text = markdown(previews, limit)
    assert len(text) <= limit
    assert text.startswith(MARKER + "\n")
    assert text.count("<details>") == text.count("</details>")
    assert text.count(MARKER) == 1


def test_what_is_left_out_is_counted_for_each_stack() -> None:
    changes = tuple(change(f"n{number}", fields=(Field("spec.replicas", "1", "2" * 80),)) for number in range(300))
    text = markdown([StackPreview("one", changes), StackPreview("two", changes)], 8_000)
    assert text.count("field by field") == 2
    assert "`./sy preview -s one --diff`" in text
    assert "`./sy preview -s two --diff`" in text
    shown = text.count("- **update** Deployment")
    left = sum(int(line.split()[2]) for line in text.splitlines() if line.startswith("- …"))
    assert shown + left == 600


def test_a_hundred_stacks_are_all_in_the_overview() -> None:
    text = markdown([StackPreview(f"reseller-{number}", (change("web"),)) for number in range(100)])
    assert all(f"| `reseller-{number}` |" in text for number in range(100))


def test_the_worst_is_first_and_a_change_stands_under_each_of_its_risks() -> None:
    before, after = {"kind": "StatefulSet"}, {"kind": "StatefulSet", "spec": {"template": {"spec": {"hostNetwork": True}}}}
    changes = classify([step("update", "core/v1:ConfigMap", {}, {"data": {}}), step("replace", "apps/v1:StatefulSet", before, after)])
    assert [one.kind for one in changes] == ["StatefulSet", "ConfigMap"]
    assert (changes[0].risk, changes[0].also) == (Risk.DATA, (Risk.PORT,))
    preview = StackPreview("s", tuple(changes))
    assert preview.at(Risk.PORT) == preview.at(Risk.DATA) == [changes[0]]


def test_both_halves_of_a_replacement_are_one_change() -> None:
    steps = [step(op, "apps/v1:StatefulSet", {"a": 1}, {"a": 2}) for op in ("create-replacement", "delete-replaced")]
    assert [(one.op, one.risk) for one in classify(steps)] == [("replace", Risk.DATA)]


@pytest.mark.parametrize("op", ["create", "update", "replace", "delete", "create-replacement"])
@pytest.mark.parametrize("kind", ["core/v1:Namespace", "core/v1:PersistentVolumeClaim", "apps/v1:StatefulSet", "apps/v1:Deployment"])
def test_the_first_row_has_what_up_would_refuse(op: str, kind: str) -> None:
    steps = [step(op, kind, {"kind": "x"}, {"kind": "y"})]
    assert [one.risk is Risk.DATA for one in classify(steps)] == [bool(losses(steps))]


def test_volumes_that_will_go_with_their_set_count_as_deleted_data() -> None:
    kept, gone = ({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": word}}} for word in ("Retain", "Delete"))
    assert classify([step("update", "apps/v1:StatefulSet", kept, gone)])[0].risk is Risk.DATA
    assert classify([step("update", "apps/v1:StatefulSet", gone, kept)])[0].risk is Risk.REST


@pytest.mark.parametrize("kind", ["core/v1:Secret", "core/v1:ConfigMap"])
def test_a_value_that_the_engine_was_told_to_show_is_hidden_all_the_same(kind: str) -> None:
    changes = classify([step("update", kind, {"data": SIGNATURE}, {"data": {"key": SIGNATURE, "other": "[secret]"}})])
    text = markdown([StackPreview("s", tuple(changes))])
    assert changes[0].fields
    assert "hunter2" not in text
    assert "4dabf" not in text


def test_plain_data_of_a_secret_is_hidden_and_that_of_other_objects_is_shown() -> None:
    texts = [
        markdown([StackPreview("s", tuple(classify([step("update", kind, {"data": {"a": "old-value"}}, {"data": {"a": "new-value"}})])))])
        for kind in ("core/v1:Secret", "core/v1:ConfigMap")
    ]
    assert "-value" not in texts[0]
    assert "`data.a` changes" in texts[0]
    assert "`data.a`: `old-value` → `new-value`" in texts[1]


def test_a_secret_that_differs_is_named_though_both_sides_look_alike() -> None:
    masked = {"data": "[secret]"}
    changes = classify([step("update", "core/v1:Secret", masked, masked, detailedDiff={"data": {"kind": "update"}})])
    assert [field.path for field in changes[0].fields] == ["data"]


def test_a_kubeconfig_in_a_provider_is_hidden() -> None:
    states = {
        key: {"type": "pulumi:providers:kubernetes", "custom": True, "inputs": {"kubeconfig": f"token-{key}"}}
        for key in ("oldState", "newState")
    }
    text = markdown(
        [StackPreview("s", tuple(classify([{"op": "update", "urn": "urn:pulumi:s::p::pulumi:providers:kubernetes::cluster", **states}])))]
    )
    assert "`kubeconfig` changes" in text
    assert "token-" not in text


def test_elements_of_a_list_are_known_by_name_where_they_have_one() -> None:
    before = [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]
    after = [{"name": "b", "image": "2"}]
    assert list(differences(before, after, "containers")) == [("containers[a]", before[0], None), ("containers[b].image", "1", "2")]
    assert list(differences([1, 2], [1, 3], "l")) == [("l[1]", 2, 3)]


@pytest.mark.parametrize("text", ["`", "a`b", "|", "line\nline", "</details>", "<!-- switchyard-preview -->", "@everyone"])
def test_nothing_in_a_value_can_end_its_code_span_or_its_cell(text: str) -> None:
    made = code(text)
    assert made[0] == made[-1] == "`"
    assert not set("`|\n") & set(made[1:-1])


def test_nothing_in_an_error_can_end_its_block() -> None:
    text = markdown([StackPreview("s", errors=("first\n```\n@everyone <b>",))])
    assert text.count("```") == 2


def test_a_preview_that_says_nothing_is_a_failed_one_and_other_text_is_refused() -> None:
    assert "the preview failed" in markdown([StackPreview.read("s", " \n")])
    for text in ("no JSON", "[]", "{}"):
        with pytest.raises(NotAPreviewError):
            StackPreview.read("s", text)


def test_a_summary_is_read_back_as_it_was() -> None:
    preview = StackPreview(
        "s", (change("web", Risk.PORT, also=(Risk.SECRET,), opens=("x",), fields=(Field("a", "1", "2"),)),), ("e",), ("w",), new=True
    )
    assert StackPreview.read("s", preview.brief()) == preview
    assert json.loads(preview.brief())["kind"] == "switchyard-preview"


def test_no_stack_is_a_comment_too() -> None:
    assert "alters no stack" in markdown([])
