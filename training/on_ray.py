"""The same shards made by Ray Data, on this machine or a cluster whose machines share the folders."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..pipelines.image.checks import RefocusError, cut
from .plan import Job, Shard
from .work import Made, Told, make_shard


def check_ray() -> None:
    """RefocusError without it."""
    _ray()


def on_ray(job: Job, shards: list[Shard], told: Told, workers: int | None) -> Iterator[Made]:
    """Side by side on all CPUs that Ray has, or `workers` of them; finished ones in any order.

    RAY_ADDRESS names a cluster that runs; else one is started here and ends with the work.
    """
    ray = _ray()
    beside = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    started = not ray.is_initialized()
    if started:
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": beside}}, **local)
        except Exception as error:  # what keeps it from starting comes as a bare Exception
            raise RefocusError(
                f"Ray did not start ({cut(str(error), 120)}), but --engine ray works on it: look at RAY_ADDRESS and at "
                "Ray's log, or leave --engine out."
            ) from error
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"shard": i} for i in range(len(shards))], override_num_blocks=len(shards))
        side_by_side = ray.data.TaskPoolStrategy(size=workers)
        made = rows.map(_task, fn_kwargs={"job": job, "shards": ray.put(shards)}, num_cpus=1, compute=side_by_side)
        done = 0
        for row in made.iter_rows():
            if row["error"]:
                raise RefocusError(row["error"])
            report = json.loads(row["report"])
            done += report["pictures"]
            told(done)
            yield Made(report, row["seconds"])
    finally:
        if started:
            ray.shutdown()


def _task(row: dict, job: Job, shards) -> dict:
    """One shard; an error in one sentence comes back as a row, without Ray's traceback."""
    import ray

    try:
        made = make_shard(job, ray.get(shards)[row["shard"]])
    except RefocusError as error:
        return {"error": str(error), "report": "", "seconds": 0.0}
    return {"error": "", "report": json.dumps(made.report), "seconds": made.seconds}


def _ray():
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RefocusError(
            f"Ray Data is not installed ({error.name or error} is missing), but --engine ray works on it: run pip "
            "install 'ray[data]', or leave --engine out."
        ) from error
    return ray
