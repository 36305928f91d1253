"""The fairseq criterions: configuration, model call and metrics; the mathematics is in `ops`.

File name = registered name. Importing this package needs fairseq, and says how to install it.
"""

from fairseq_labo.environment import require_fairseq

require_fairseq()
