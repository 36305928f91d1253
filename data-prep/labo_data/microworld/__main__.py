"""`python -m labo_data.microworld --destdir DIR`: the corpus as raw text."""

import sys

from labo_data.microworld.corpus import main

sys.exit(main())
