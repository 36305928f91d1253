"""`python -m microworld --destdir DIR`: the corpus as text."""

import sys

from microworld.corpus import main

sys.exit(main())
