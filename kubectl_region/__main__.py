"""The entry point of `kubectl-region`, which kubectl starts for `kubectl region`."""

from kubectl_region.commands import main

if __name__ == "__main__":
    main()
