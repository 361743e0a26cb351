"""Makes the Helm chart from the manifests: `make chart` writes the folder chart, a test keeps the folder current.

The manifests are the truth. A value of the chart is a hole in a manifest, and the value's default is what stands there
in the manifest. So the chart with its defaults is the manifests. What no manifest has (the notes, the Secret, the
RegionScheduler) is written by hand in chart/templates. Helm itself is left to the tests.
"""
