"""The script that holds forecasts to measurement: what it prints, and that it fails for one that is off."""

import runpy
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "forecast.py"))


def test_each_step_is_forecast_and_measured_and_one_that_is_off_is_told(capsys):
    run = SCRIPT["resolved"]("mib", "cnn-small-cpu", "fp32", "cpu", 2)
    assert run.protocol.model.batch_size == 2
    assert SCRIPT["compare"](run, 0.05)
    close = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in close] == [
        ["cnn-small-cpu", "fp32", "mib", str(step)] for step in (0, 1)
    ]
    told, real = (float(value) for value in close[1].split()[4:6])
    assert told > 4 and abs(told - real) < 0.05 * real
    assert not SCRIPT["compare"](run, -1.0)  # nothing is as close as that
    assert all(line.endswith("  TOO FAR") for line in capsys.readouterr().out.splitlines())
