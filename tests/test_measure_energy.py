"""Energy with an NVML of our own: what it reads, which GPU it reads, and how it fails."""

import os
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from benchmark.measure.energy import EnergyMeter
from benchmark.measure.nvml import process_bytes
from benchmark.measure.others import note_of_others, tells_of_others

CUDA = torch.device("cuda", 0)
QUANTITIES = {"joules", "watts", "utilisation_percent"}


class NVMLError(Exception):
    pass


class FakeNvml:
    """Two GPUs; torch sees only the second, as its first. Readings follow each other."""

    NVMLError = NVMLError

    def __init__(self, energy=(), watts=(200_000,), mig=None, pids=(), fail=None, devices=None):
        self.energy, self.watts, self.mig, self.pids = list(energy), list(watts), mig, list(pids)
        self.fail = fail or {}
        self.opened = 0
        self.devices = devices or {"GPU-first": 0, "GPU-second": 1}
        self.sampled = threading.Event()

    def _try(self, name):
        if name in self.fail:
            raise NVMLError(self.fail[name])

    def nvmlInit(self):
        self._try("init")
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.devices:
            raise NVMLError("Not Found")
        return self.devices[uuid]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, instance):
        return {"instance": 1}[instance]

    def nvmlDeviceGetMigMode(self, handle):
        if self.mig is None:
            raise NVMLError("Not Supported")
        return [self.mig, self.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        assert handle == 1
        self._try("energy")
        return self.energy.pop(0)

    def nvmlDeviceGetPowerUsage(self, handle):
        self._try("power")
        return self.watts.pop(0) if len(self.watts) > 1 else self.watts[0]

    def nvmlDeviceGetUtilizationRates(self, handle):
        self.sampled.set()
        self._try("utilisation")
        return SimpleNamespace(gpu=75, memory=10)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self._try("processes")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.pids]


@pytest.fixture
def install(monkeypatch):
    def put(fake, edges=None):
        properties = SimpleNamespace(uuid="second")
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: edges is None or edges.append(device))
        return fake

    return put


def metered(blocks=1, interval=60.0):
    meter = EnergyMeter(CUDA, interval)
    for _ in range(blocks):
        with meter:
            pass
    return meter.reading


def test_joules_are_the_difference_of_the_counter_and_blocks_add_up(install):
    edges = []
    fake = install(
        FakeNvml(energy=[1_000_000, 1_500_500, 9_000_000, 9_000_250], pids=[(os.getpid(), 1)]), edges
    )
    reading = metered(blocks=2)
    assert reading.joules == pytest.approx(500.75)
    assert reading.seconds > 0 and reading.reasons == {} and reading.notes == ()
    assert len(edges) == 4 and fake.opened == 0


def test_a_short_stretch_is_sampled_once_at_its_end(install):
    install(FakeNvml(energy=[0, 1], watts=[123_000]))
    reading = metered()
    assert (reading.samples, reading.watts, reading.utilisation_percent) == (1, 123.0, 75.0)


def test_a_long_one_is_sampled_by_a_thread_that_ends_with_it(install):
    fake = install(FakeNvml(energy=[0, 1], watts=[100_000, 300_000, 200_000]))
    before = threading.active_count()
    with EnergyMeter(CUDA, interval_seconds=0.001) as meter:
        for _ in range(3):
            fake.sampled.clear()
            assert fake.sampled.wait(10)
    reading = meter.reading
    assert reading.samples >= 3 and 150 < reading.watts < 250
    assert threading.active_count() == before


def test_the_gpu_that_torch_uses_is_read_whatever_its_number(install):
    install(FakeNvml(energy=[0, 5000], devices={"GPU-other": 0, "GPU-second": 1}))
    assert metered().joules == 5


@pytest.mark.parametrize(
    ("fake", "why"),
    [
        (FakeNvml(fail={"init": "NVML Shared Library Not Found"}), "NVML: NVML Shared Library Not Found"),
        (FakeNvml(fail={"init": "Driver Not Loaded"}), "NVML: Driver Not Loaded"),
        (FakeNvml(devices={"GPU-other": 0}), "NVML: Not Found"),
        (FakeNvml(mig=1), "the GPU is split by MIG: its counters cover all instances"),
        (
            FakeNvml(mig=1, devices={"GPU-whole": 1, "MIG-second": "instance"}),
            "the GPU is split by MIG: its counters cover all instances",
        ),
    ],
)
def test_without_nvml_all_is_unknown_with_the_reason(install, fake, why):
    install(fake)
    reading = metered()
    assert (reading.joules, reading.watts, reading.utilisation_percent, reading.samples) == (
        None,
        None,
        None,
        0,
    )
    assert reading.reasons == dict.fromkeys(QUANTITIES, why)
    assert fake.opened == 0


def test_a_package_that_is_missing_is_said(install):
    install(None)  # importing a module that is None in sys.modules fails
    assert metered().reasons["joules"] == "the package nvidia-ml-py is not installed"


def test_a_cpu_has_no_counter_and_loads_no_library(install):
    fake = install(FakeNvml(fail={"init": "must not be called"}))
    with EnergyMeter(torch.device("cpu")) as meter:
        pass
    assert meter.joules is None and meter.utilisation_percent is None
    assert meter.reading.reasons["joules"] == "a cpu device has no NVML counters"
    assert fake.opened == 0


@pytest.mark.parametrize("why", ["Not Supported", "Insufficient Permissions"])
def test_each_quantity_fails_alone(install, why):
    install(FakeNvml(fail={"energy": why}))
    reading = metered(blocks=2)
    assert reading.reasons == {"joules": f"no energy counter: {why}"}
    assert (reading.joules, reading.watts, reading.utilisation_percent) == (None, 200.0, 75.0)

    install(FakeNvml(energy=[0, 1000], fail={"power": why, "utilisation": why}))
    reading = metered()
    assert (reading.joules, reading.watts, reading.utilisation_percent) == (1.0, None, None)
    assert reading.reasons == {"watts": f"NVML: {why}", "utilisation_percent": f"NVML: {why}"}


def test_a_counter_that_went_back_gives_no_joules(install):
    install(FakeNvml(energy=[9000, 10, 0, 1000]))
    reading = metered(blocks=2)
    assert reading.joules is None
    assert reading.reasons == {"joules": "the energy counter was reset while metering"}


def test_mig_that_is_off_is_no_obstacle(install):
    install(FakeNvml(energy=[0, 1000], mig=0))
    assert metered().joules == 1


def test_other_processes_on_the_gpu_are_noted(install):
    mine = (os.getpid(), 100)
    install(FakeNvml(energy=[0, 1000], pids=[mine, (1, 5), (2, 5)]))
    reading = metered()
    assert reading.joules == 1 and reading.notes == ("the GPU was shared with 2 other processes",)
    install(FakeNvml(energy=[0, 1000], pids=[(-1, 5), (-2, 5)]))
    assert metered().notes == ("2 processes computed on the GPU, whose ids are not ours",)
    install(FakeNvml(energy=[0, 1000], fail={"processes": "Insufficient Permissions"}))
    assert metered().notes == ("other processes on the GPU are unknown: NVML: Insufficient Permissions",)


@pytest.mark.parametrize(("running", "told"), [({7}, False), ({1}, False), ({7, 1}, True), ({1, 2}, True)])
def test_a_record_tells_of_others_where_there_were_any(running, told):
    note = note_of_others(7, running)
    assert (note is not None) == told == tells_of_others(["energy unknown", *([note] if note else [])])
    assert not tells_of_others(["other processes on the GPU are unknown: NVML: Insufficient Permissions"])


def test_remarks_are_sentences_one_for_each_reason(install):
    install(FakeNvml(mig=1))
    (one,) = metered().remarks
    assert one.startswith("joules, watts, utilisation_percent unknown: the GPU is split by MIG")
    mine = (os.getpid(), 100)
    install(FakeNvml(pids=[mine, (1, 5), (2, 5)], fail={"energy": "Insufficient Permissions"}))
    assert metered().remarks == (
        "joules unknown: no energy counter: Insufficient Permissions",
        "the GPU was shared with 2 other processes",
    )
    install(FakeNvml(energy=[0, 1000]))
    assert metered().remarks == ()
    assert EnergyMeter(CUDA).reading.remarks == ("energy unknown: too few iterations to meter any",)


def test_nothing_metered_is_unknown_and_edges_come_in_pairs(install):
    install(FakeNvml(energy=[0, 0]))
    meter = EnergyMeter(CUDA)
    assert meter.joules is None
    with pytest.raises(RuntimeError, match="before it was started"):
        meter.stop()
    meter.start()
    with pytest.raises(RuntimeError, match="started twice"):
        meter.start()
    meter.stop()
    assert meter.joules == 0


def test_bytes_of_this_process(install):
    install(FakeNvml(pids=[(os.getpid(), 4096), (1, 5)]))
    assert process_bytes(CUDA) == 4096
    install(FakeNvml(pids=[(1, 5)]))  # a container with process ids of its own
    assert process_bytes(CUDA) is None
    install(FakeNvml(pids=[(os.getpid(), None)]))  # a driver that does not tell
    assert process_bytes(CUDA) is None
    install(FakeNvml(fail={"processes": "Insufficient Permissions"}))
    assert process_bytes(CUDA) is None
    assert process_bytes(torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_gives_energy_or_the_reason_why_not():
    with EnergyMeter(CUDA, 0.05) as meter:
        for _ in range(50):
            torch.randn(2048, 2048, device="cuda") @ torch.randn(2048, 2048, device="cuda")
    assert (meter.joules is None) == ("joules" in meter.reading.reasons)
