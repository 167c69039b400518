"""`python -m foedus` is the command `foedus`."""

from foedus.cli.main import main

if __name__ == "__main__":
    main()
