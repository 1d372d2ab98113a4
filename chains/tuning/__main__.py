"""`python -m chains.tuning`."""

from chains.tuning.recipe import main

if __name__ == "__main__":
    main()
