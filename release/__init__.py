"""Makes the files of a release: the images, what is in the images, the one file to install, and checksums.

A release is a function of a commit and of a Python base image: whoever has both makes the same bytes. So anybody can
check a release by making the release again. Every file goes to one folder, `dist` by default. Nothing leaves the
machine, except by the command `push`. The local builder is devcluster's. Signing is left to the release workflow
(.github/workflows/release.yaml).
"""
