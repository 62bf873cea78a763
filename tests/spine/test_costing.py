"""``cssbench estimate``: what it prints, and one sentence for what cannot be forecast."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from spine_toys import FAMILY, MODEL, protocol_name, write_method

from benchmark.cli import main
from benchmark.comparing import every_variant
from benchmark.estimate import forecast
from benchmark.estimate_text import fit_line
from benchmark.finding import find_method, method_names
from benchmark.fitting import Fit
from benchmark.protocols import load_protocol

TINY = ["--protocol", protocol_name("2-1-overlapped"), "--model", MODEL]


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def estimate(*words: object) -> Result:
    done = invoke("estimate", *TINY, *words)
    assert done.exit_code == 0, done.output
    return done


def answer(*words: object) -> Any:
    return json.loads(estimate(*words, "--json").stdout)


def refused(*words: object) -> str:
    done = invoke("estimate", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr


def test_json_is_the_forecast_and_the_table_shows_its_figures():
    protocol = load_protocol(protocol_name("2-1-overlapped"), MODEL)
    found = forecast(find_method("mib"), protocol, batch=3)
    (told,) = answer("--method", "mib", "--batch", 3)["estimates"]
    assert told == json.loads(json.dumps(found.to_json())) and told["batch_size"] == 3
    table = estimate("--method", "mib", "--batch", 3).stdout
    rows = {line.rsplit(None, 3)[0]: line.split()[-3:] for line in table.splitlines()[1:]}
    assert [step.index for step in found.steps] == [0, 1, 2]
    assert rows["peak MiB"] == [f"{step.peak_bytes.live_tensors / 2**20:.1f}" for step in found.steps]
    macs = [step.compute.train_flops / 6e9 for step in found.steps]
    assert rows["train GMAC"] == [f"{value:.2f}" for value in macs]


def test_named_methods_are_shown_by_step_and_then_side_by_side():
    shown = estimate("--method", "fine_tune", "--method", "ewc").stdout
    assert shown.count("checkpoint MiB") == 3
    both = shown.partition("\n2 methods on")[2]
    assert [line.split()[0] for line in both.splitlines()[2:4]] == ["fine_tune", "ewc"]


def test_every_method_is_compared_and_what_ships_otherwise_on_top_of_each_choice():
    names = every_variant()
    assert {name for name in names if ":" not in name} == {*method_names()}
    assert {name for name in names if ":" in name} == {
        f"clora:on={below}" for below in ("fine_tune", "ilt", "sdr", "plop")
    }


def test_a_method_that_does_not_fit_stops_no_other():
    done = invoke("estimate", "--protocol", f"{FAMILY}:joint", "--model", MODEL, "--all-methods", "--json")
    told = json.loads(done.stdout)
    assert [each["variant"] for each in told["estimates"]] == ["fine_tune"]
    assert len(told["refused"]) == len(every_variant()) - 1
    assert all("joint bound is run with 'fine_tune' alone" in each["reason"] for each in told["refused"])


def test_the_largest_batch_is_told():
    (told,) = answer("--method", "fine_tune", "--fit", "20 MB")["estimates"]
    fit = told["fit"]
    assert fit["limit_bytes"] == 20_000_000 and fit["batch"] > 4 and fit["peak_bytes"] <= 20_000_000


def test_that_none_fits_is_told_with_what_one_image_takes():
    last = estimate("--method", "fine_tune", "--fit", "100 KiB").stdout.splitlines()[-1]
    assert re.fullmatch(
        r"fine_tune: no batch fits 0\.1 MiB: one image on tiny-model takes 0\.[2-9] MiB at step 0", last
    )


def test_a_fit_in_words():
    line = fit_line("mib", "vit-base", Fit(8 * 2**30, 12, 2**33 - 2**29, 5))
    assert line == "mib: the largest batch that fits 8.00 GiB is 12, with a peak of 7.50 GiB"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "mib", "--batch", 0], "batch 0; expected at least 1"),
        (["--all-methods", "--batch", -3], "batch -3; expected at least 1"),
        (["--method", "mib", "--fit", "plenty"], "'plenty' is no size; expected a number and a unit"),
        (["--method", "mib", "--fit", "1000000TiB"], "holds 65536 images and more"),
        (["--method", "mibb"], "unknown method 'mibb'; did you mean 'mib'?"),
        (["--method", "mib", "--all-methods"], "name methods with --method, or ask for --all-methods"),
        ([], "name methods with --method, or ask for --all-methods"),
    ],
)
def test_bad_input_is_one_sentence(words, said):
    assert said in refused(*TINY, *words)


def test_an_operator_of_unknown_cost_makes_figures_lower_bounds(tmp_path: Path) -> None:
    @torch.library.custom_op("cssbench_test::foreign", mutates_args=())
    def foreign(x: torch.Tensor) -> torch.Tensor:
        return x @ x.mT

    @foreign.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return x @ x.mT

    file = write_method(
        tmp_path,
        loss="""
    def loss(self, model, output, previous_output, batch, step, state):
        with torch.no_grad():
            torch.ops.cssbench_test.foreign(output.logits)
        return {"cross_entropy": ce(output, batch)}
""",
    )
    last = estimate("--method", file).stdout.splitlines()[-1]
    assert last.startswith("operators of unknown cost, counted as zero: cssbench_test::foreign; the counts")


def test_a_model_that_branches_on_its_data_is_told_so(tmp_path: Path) -> None:
    body = """
    def adapt(self, model, step):
        model.decoder.register_forward_hook(lambda decoder, given, out: out if out.fused.max() > 0 else None)
        return trainable(model)
"""
    said = refused(*TINY, "--method", write_method(tmp_path, body))
    assert said.startswith("cssbench: method 'toy' cannot be forecast on 'tiny-model': it depends on values")


ASKS = {
    "branches": ("if output.logits.sum() > 0: pass", "depends on values of tensors"),
    "picks": ("output.logits[batch.target[:, None].expand_as(output.logits) > 0]", "depends on values"),
    "leaves": ("output.logits.detach().cpu().numpy()", "depends on values of tensors (.numpy())"),
    "unknown": ("torch.ops.cssbench_test.shapeless(output.logits)", "does not say what shape"),
}


@pytest.mark.parametrize("name", ASKS)
def test_what_has_no_values_cannot_be_asked_for_them(tmp_path: Path, name: str) -> None:
    line, said = ASKS[name]
    if name == "unknown":

        @torch.library.custom_op("cssbench_test::shapeless", mutates_args=())
        def _(x: torch.Tensor) -> torch.Tensor:
            return x.clone()

    loss = f"""
    def loss(self, model, output, previous_output, batch, step, state):
        {line}
        return {{"cross_entropy": ce(output, batch)}}
"""
    file = write_method(tmp_path, loss=loss)
    assert said in refused(*TINY, "--method", file)
