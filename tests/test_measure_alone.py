"""The profilers on a model that is not the project's, as docs/cost.md shows them; they load nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from benchmark.measure.timing import throughput

ROOT = Path(__file__).parents[1]


def test_the_example_of_the_docs_counts_what_it_says(capsys):
    text = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = {}
    exec(source, found)
    first, second, pixels = 8 * 27, 2 * 8, 32 * 32
    assert found["parameters"] == (first + 8 + second + 2,) * 2
    assert found["macs"].macs == (first + second) * pixels
    assert found["macs"].uncounted == {"aten::gelu": 1} and found["macs"].uncounted_share == 1 / 3
    forward = 2 * 4 * (first + second) * pixels
    # the first layer's input needs no gradient, the second's does
    assert found["flops"].by_part == {"forward": forward, "backward": forward + 2 * 4 * second * pixels}
    peak = found["tensors"].peak_parts
    assert peak["parameters"] == 4 * found["parameters"].total
    assert peak["activations"] >= 4 * 4 * pixels * (3 + 8)
    assert found["memory"].peaks["train"].cuda_allocated is None
    assert found["energy"].joules is None and len(found["energy"].reading.remarks) == 1
    assert found["clock"].seconds["train"] > 0 and found["clock"].waited["train"] > 0
    assert "a cpu device has no NVML counters" in capsys.readouterr().out


def test_throughput_is_a_batch_over_its_median_pass():
    ticks = iter([0, 9, 0, 2, 0, 4, 0, 3])  # one pass to warm up, then 2, 4 and 3 seconds
    assert throughput(nn.Identity(), torch.zeros(12, 3, 1, 1), 3, 1, now=lambda: next(ticks)) == 4


def test_the_profilers_bring_along_no_method_model_or_protocol():
    names = sorted(path.stem for path in (ROOT / "benchmark" / "measure").glob("[!_]*.py"))
    line = f"from benchmark.measure import {', '.join(names)}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {
        module for module in done.stdout.split() if module.partition(".")[0] in ("benchmark", "methods")
    }
    others = {module for module in loaded if not module.startswith("benchmark.measure")}
    assert others <= {"benchmark", "benchmark.errors", "benchmark.record"} and len(loaded) > len(names)
