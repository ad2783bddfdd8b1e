"""`python -m dataservice` → the command line."""

from dataservice.cli import main

if __name__ == "__main__":
    main()
