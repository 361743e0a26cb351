"""Makes what people install to watch Region tick: alerts, recording rules and a Grafana dashboard.

What is watched stands here as values. The files in manifests/monitoring are made from them by `make monitoring`, and a
test keeps the files current.
"""
