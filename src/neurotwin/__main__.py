"""`python -m neurotwin` is `neurotwin`."""

from neurotwin.cli import main

main()
