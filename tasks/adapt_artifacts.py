"""Task: what Prefect's page of an adaptation shows: the curve of its perplexity, as a picture and in figures."""

from __future__ import annotations

import base64

from prefect import task
from prefect.artifacts import create_image_artifact, create_table_artifact

from otzyv.tasks.adapt import Adapted


@task(name="show perplexity", task_run_name="show perplexity")
def show_perplexity(made: Adapted) -> None:
    """One artifact with the plot, one with its points; their keys name the extractor."""
    key = f"perplexity-{made.name.replace('_', '-')}"
    picture = base64.b64encode(made.plot.read_bytes()).decode()
    said = f"{made.name}, trained on from {made.base}: perplexity of {made.curve.held_out} held-out texts"
    create_image_artifact(f"data:image/svg+xml;base64,{picture}", key=f"{key}-plot", description=said)
    points = [{"step": point.step, "perplexity": round(point.perplexity, 2)} for point in made.curve.points]
    create_table_artifact(points, key=key, description=said)
