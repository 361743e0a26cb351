"""The entry point of `region-operator`; its commands are in `commands`."""

from region_operator.commands import main

if __name__ == "__main__":
    main()
