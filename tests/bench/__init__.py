"""Speed and memory, as ratios measured in one run: ``make bench``. Nothing here asserts a time."""

from otzyv.flows.server import prefect_server

prefect_server.configure()  # before any benchmark imports Prefect, which reads its settings then
